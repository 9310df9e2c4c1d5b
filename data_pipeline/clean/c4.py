"""C4's rules: lines that are no sentences go, then pages of too few sentences, of placeholders and of code.

Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
arXiv:1910.10683, section 2.2, and the code that made C4, tensorflow_datasets, text/c4_utils.py, which has what the
paper leaves out: ellipses, longest words, citations, the phrases of policies. Fewest words of a line and fewest
sentences of a page are 5 and 3 in the last version of the paper and in that code; the first version says 3 and 5, which
datatrove and FineWeb took over.

Other than there, also in datatrove's C4QualityFilter: sentences are counted as sentences.py says, without a model; a
line's words are counted, and it is stripped, after its citations went; the end quotation mark of the paper is `"` and
also `”`; letters beyond A to Z are compared as they are written.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.clean.c4_kernels import BAD_LINES, BRACKET_LINES, CITATION, LOREM_LINES, SENTENCES, STRIPPED
from data_pipeline.clean.c4_lines import KINDS, Cleaned, LineRules, clean_lines, without_citations
from data_pipeline.clean.rules import Applied, Example, Limit, Rule, with_text
from data_pipeline.documents import SNIPPET_CHARS, keys_of
from foundation.errors import require

C4_END_MARKS = (".", "!", "?", '"', "”")


class C4(Rule):
    """C4's rules. Lines are stripped, changed and left out; then documents go by what is left of them.

    Counts as changed what c4_lines.KINDS names. A document without a word has 0 of everything, so it goes for
    `c4_sentences`. Every document that goes has its text as its lines were left.

    Args:
        min_words_per_line: lines of fewer words go; with 0 also lines without a word stay.
        max_word_chars: lines with a longer word go.
        needs_end_mark: whether lines go that don't end with a mark of `end_marks`, or end with an ellipsis `...`.
        end_marks: characters; None: C4_END_MARKS.
        remove_citations: `[1]`, `[]`, `[edit]` and `[citation needed]` are taken out of lines.
        remove_javascript_lines: lines with the word javascript go.
        remove_policy_lines: lines with a phrase of c4_lines.POLICIES go.
        min_sentences: of the lines that are left (`c4_sentences`).
        drop_lorem_ipsum: documents go with a line that has `lorem ipsum` (`c4_lorem_ipsum`, in lines).
        drop_curly_brackets: documents go with a line that has `{` (`c4_curly_brackets`, in lines).
        bad_words: documents go with a line in which one of these stands by itself, letters of any script, digits and
            underscores not beside it (`c4_bad_words`, in lines). None: no such rule, no such score; the published list
            is none of this project.
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset({"min_sentences", "drop_lorem_ipsum", "drop_curly_brackets"})

    def __init__(
        self,
        min_words_per_line: int = 5,
        max_word_chars: int = 1000,
        needs_end_mark: bool = True,
        end_marks: list[str] | None = None,
        remove_citations: bool = True,
        remove_javascript_lines: bool = True,
        remove_policy_lines: bool = True,
        min_sentences: int = 3,
        drop_lorem_ipsum: bool = True,
        drop_curly_brackets: bool = True,
        bad_words: list[str] | None = None,
    ) -> None:
        for name, value in (("min_words_per_line", min_words_per_line), ("min_sentences", min_sentences)):
            require(value >= 0, name, value, "0 or more")
        require(max_word_chars >= 1, "max_word_chars", max_word_chars, "1 or more: else no line would stay")
        marks = C4_END_MARKS if end_marks is None else tuple(dict.fromkeys(end_marks))
        for mark in marks:
            require(len(mark) == 1 and not mark.isspace(), "end_marks", mark, "single characters, no white space")
        require(bool(marks) or not needs_end_mark, "end_marks", [], "marks, or needs_end_mark=false")
        for word in bad_words or []:
            allowed = "words of 2 bytes or more in UTF-8, without white space around and without newlines"
            require(len(word.encode()) >= 2 and word == word.strip() and "\n" not in word, "bad_words", word, allowed)
        self._rules = LineRules(
            min_words=min_words_per_line,
            max_word_chars=max_word_chars,
            end_marks=marks if needs_end_mark else (),
            citations=remove_citations,
            javascript=remove_javascript_lines,
            policies=remove_policy_lines,
            bad_words=tuple(dict.fromkeys(bad_words or [])),
        )
        self.limits = (
            Limit("c4_lorem_ipsum", most=0.0 if drop_lorem_ipsum else np.inf, above="c4_lorem_ipsum"),
            Limit("c4_curly_brackets", most=0.0 if drop_curly_brackets else np.inf, above="c4_curly_brackets"),
            *([Limit("c4_bad_words", most=0.0, above="c4_bad_words")] if bad_words else []),
            Limit("c4_sentences", least=float(min_sentences), below="c4_sentences", least_key="min_sentences"),
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        cleaned = clean_lines(texts, self._rules)
        columns = {
            "c4_lorem_ipsum": LOREM_LINES,
            "c4_curly_brackets": BRACKET_LINES,
            "c4_bad_words": BAD_LINES,
            "c4_sentences": SENTENCES,
        }
        scores = {limit.score: cleaned.counts[:, columns[limit.score]].astype(np.float64) for limit in self.limits}
        changed = with_text(batch, cleaned.texts) if cleaned.changed else batch
        return Applied(changed, scores, cleaned.changed, _examples(batch, cleaned))


def _examples(batch: pa.RecordBatch, cleaned: Cleaned) -> list[Example]:
    """Return some changes of lines, cut to what the eye takes in."""
    rows, texts, examples = keys_of(batch)[1], batch.column("text"), []
    for kind, text, start, stop in cleaned.found.tolist():
        before = texts[text].as_buffer()[start:stop].to_pybytes().decode()
        after = without_citations(before) if kind == CITATION else before.strip() if kind == STRIPPED else ""
        examples.append(Example(KINDS[kind], int(rows[text]), before[:SNIPPET_CHARS], after[:SNIPPET_CHARS]))
    return examples
