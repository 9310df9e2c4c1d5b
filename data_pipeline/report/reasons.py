"""What the reasons mean for which documents went, for those who read the page."""

from __future__ import annotations

from data_pipeline.unreadable import WORDS

# Reasons of this project's own stages and rules; another rule's own reason speaks for itself.
REASONS = {
    "empty": "no word: it came so, or the rules took all of it",
    "too_few_chars": "fewer characters than min_chars of the rule length",
    "too_few_words": "fewer words than min_words of the rule length",
    "gopher_too_few_words": "too short to be an article",
    "gopher_too_many_words": "too long for one page: a book, a log, several documents in one",
    "gopher_words_too_short": "words of few letters on average: symbols, tables, numbers",
    "gopher_words_too_long": "words of many letters on average: addresses, data, a script without spaces",
    "gopher_hash_ratio": "many # signs to words: tags, headings, code",
    "gopher_ellipsis_ratio": "many ... to words: text that was cut off",
    "gopher_bullet_lines": "nearly all lines begin with a bullet: a list",
    "gopher_ellipsis_lines": "many lines end with ...: previews of articles",
    "gopher_alpha_words": "many words without a letter: numbers, symbols, tables",
    "gopher_stop_words": "hardly a word such as the, of, and: no prose, or another language",
    "gopher_duplicate_lines": "many lines stood before in the same document",
    "gopher_duplicate_paragraphs": "many paragraphs stood before in the same document",
    "gopher_duplicate_line_chars": "much of the text is in lines that stood before",
    "gopher_duplicate_paragraph_chars": "much of the text is in paragraphs that stood before",
    **{f"gopher_top_{n}_gram": f"one run of {n} words makes up much of the text" for n in (2, 3, 4)},
    **{f"gopher_duplicate_{n}_grams": f"much of it is in runs of {n} words that stood before" for n in range(5, 11)},
    "c4_lorem_ipsum": "it holds `lorem ipsum`: a page that waits for its text",
    "c4_curly_brackets": "it holds {: code",
    "c4_bad_words": "it holds a word of the list bad_words",
    "c4_sentences": "few sentences in the lines that C4's rules left",
    "fineweb_ended_lines": "few lines end as a sentence does: menus, lists",
    "fineweb_short_lines": "most lines are short: menus, lists",
    "fineweb_duplicate_line_chars": "much of the text is in lines that stood before",
    "fineweb_newlines_per_word": "many line ends to words: a list, or one word a line",
    "code_mean_line_chars": "long lines on average: minified code, data",
    "code_longest_line_chars": "a very long line: minified code, data",
    "code_alphanumeric": "few letters and digits: data, drawings of symbols",
    "html_little_text": "little text to much HTML",
    "language_not_wanted": "its language is none of the wanted ones",
    "language_unsure": "its language is a wanted one, but not surely: a mixture, or no prose",
    "homoglyphs": "many words with letters of other scripts that look alike",
    "blobs": "much of it is encoded data, as base64",
    "pii": "many addresses, numbers and the like of persons",
    "toxic": "many words of abuse, or a classifier says so",
    "low_quality": "the classifier's score is outside its limits",
    "exact_duplicate": "the same words as another document, which stays",
    "near_duplicate": "nearly the words of another document, which stays",
    "contaminated": "it holds much of a test item",
    "sampled_out": "by lot, as mix.keep asks",
    "cut out of documents that stay": "pieces, as these settings ask; the rest of their documents stays",
}


def meaning_of(reason: str) -> str:
    """Return what a reason means in a few words; nothing where a rule of somebody else's gives it."""
    return REASONS.get(reason, WORDS.get(reason, ""))
