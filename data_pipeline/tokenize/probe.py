"""Texts that a tokenizer is tried on when it is loaded: real forms of writing, and strings from all of Unicode."""

from __future__ import annotations

import random

# Each line is here for what it does to a split: contractions, digits, indents, line ends, scripts without spaces,
# marks that combine, right to left, emoji of several code points, what normalisers change, what looks special.
WRITTEN = (
    "It's what they'd say: we've 3 cats, I'm sure you'll agree, DON'T you?  They're ours.",
    "def f(x: int) -> str:\n    if x >= 10_000:\n\t\treturn f'{x:,}'  # a comment\r\n\r\n\r\nclass A: pass\n",
    "1234567890 3.14159 1,000,000 0xDEADBEEF ١٢٣ ४५६ Ⅷ ½ x² 10⁻³",
    "  leading\u00a0and trailing\u2003spaces   \n \n\t\n   ",
    "Les élèves naïfs; straße; İstanbul ıI; ﬁne ﬂow; Å Å Å; e\u0301 vs \u00e9; n\u0303",
    "他说：「今天天气很好。」東京都、한국어를 배웁니다. ภาษาไทยไม่มีช่องว่าง",
    "مرحبا بالعالم שלום עולם हिन्दी में क्षत्रिय தமிழ் \u202e abc \u202c",
    "👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ \U0001f9d1\u200d\U0001f680 \ufe0f\u20e3 ☃",
    "<|endoftext|> <s> </s> [CLS] <pad> <|im_start|>user <unk> ▁under ĠGPT Ċ <0x0A>",
    "\x00\x01\x07\x1b[31m\x7f\x85\u2028\u2029\ufeff\ufffd\uffff\U0010ffff",
    "a" * 300 + " " * 300 + "\n" * 50 + "=" * 300 + "ab" * 200,
    "",
)
ALPHABETS = (
    " \t\n\r\u00a0\u2003\u200b\u3000ab'.",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ' ",
    "0123456789 .,-+eE%$€",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \nxs",
    "'s't're've'm'll'd'S'T \u2019sß",
    "àéîõüçñßøåæœ e\u0301\u0308\u0327 a",
    "的一是不了人我在有他这 ,。あいうカキク한국 ",
    "\u0300\u0301\u0483\u0591\u064b\u093c\u0e31\u1ab0\u20d0\ufe20ab 1",
    "👍🏽👩\u200d👧🇩🇪❤\ufe0f☃\U0001f9d1 .a",
)
FUZZED = 1500
FUZZED_CHARS = 24


def probe_texts(added: list[str]) -> list[str]:
    """Return the texts, the same in every process.

    Args:
        added: texts of the tokenizer's added tokens, which are tried alone, glued to letters and amid spaces.
    """
    rng = random.Random(20240229)
    texts = list(WRITTEN)
    for token in added:
        texts += [token, f"a{token}b", f"x  {token}  y", f"\n{token}{token}\n"]
    for number in range(FUZZED):
        draw = _anywhere if number % 3 == 0 else _mixed
        texts.append(draw(rng, rng.randrange(1, FUZZED_CHARS)))
    return texts


def _mixed(rng: random.Random, length: int) -> str:
    alphabets = rng.sample(ALPHABETS, 2)
    return "".join(rng.choice(rng.choice(alphabets)) for _ in range(length))


def _anywhere(rng: random.Random, length: int) -> str:
    return "".join(_code_point(rng) for _ in range(length))


def _code_point(rng: random.Random) -> str:
    limit = rng.choice((0x80, 0x800, 0x3000, 0xD800, 0x110000))  # plane 1 to 16 alone would hide the scripts in use
    code = rng.randrange(limit)
    return " " if 0xD800 <= code < 0xE000 else chr(code)  # a surrogate is no character
