"""The sides of the benchmark of the quality filters, each a command of its own that prints one line of JSON.

    python benchmarks/clean_sides.py SIDE FOLDER

FOLDER has a .jsonl file a task. `groundwork` and `datatrove` filter all of them, two at a time, and say how long that
took; `groundwork-verdicts`, `datatrove-verdicts` and `datatrove-split-verdicts` judge every document of
FOLDER/some.jsonl by every rule alone. The last is datatrove with `str.split()` for words in place of spaCy's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

WORKERS = 2
# FineWeb's settings of C4's rules, of both sides
MIN_WORDS_PER_LINE, MIN_SENTENCES = 3, 5
Record = dict[str, Any]
Verdict = dict[str, bool]  # rule -> whether the document goes


def rules() -> dict[str, Any]:
    """Return our rules in FineWeb's order."""
    from data_pipeline.clean.c4 import C4
    from data_pipeline.clean.fineweb import FineWeb
    from data_pipeline.clean.gopher_repetition import GopherRepetition
    from data_pipeline.clean.quality import GopherQuality

    c4 = C4(min_words_per_line=MIN_WORDS_PER_LINE, needs_end_mark=False, min_sentences=MIN_SENTENCES)
    return {"repetition": GopherRepetition(), "gopher": GopherQuality(), "c4": c4, "fineweb": FineWeb()}


def groundwork(folder: Path) -> Record:
    """Filter all documents; `filters_s`: of the workers the longest, reading left out."""
    from data_pipeline.clean.rules import Rules
    from data_pipeline.documents import from_texts

    Rules(rules()).apply(from_texts(["compile the kernels, or load them"]))
    started = time.perf_counter()
    with ProcessPoolExecutor(WORKERS) as workers:
        parts = list(workers.map(_filter_task, sorted(folder.glob("task_*.jsonl"))))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "filters_s": max(part[0] for part in parts), "kept": sum(part[1] for part in parts)}


def _filter_task(path: Path) -> tuple[float, int]:
    from data_pipeline.clean.rules import Rules
    from data_pipeline.documents import from_texts

    batch = from_texts(list(_texts(path)))
    rule = Rules(rules())
    started = time.perf_counter()
    applied = rule.apply(batch)
    gone = sum(len(removals) for removals in rule.decide(applied.scores))
    return time.perf_counter() - started, batch.num_rows - gone


def datatrove(folder: Path) -> Record:
    """Filter all documents by datatrove's pipeline; `filters_s`: the sum of its own clocks of its filters, a worker."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader

    reader = JsonlReader(str(folder), glob_pattern="task_*.jsonl")
    logs = folder / f"logs_{time.monotonic_ns()}"
    executor = LocalPipelineExecutor(
        pipeline=[reader, *datatrove_filters()],
        tasks=WORKERS,
        workers=WORKERS,
        logging_dir=str(logs),
        skip_completed=False,
    )
    started = time.perf_counter()
    with redirect_stdout(sys.stderr):
        executor.run()
    seconds = time.perf_counter() - started
    stats = json.loads((logs / "stats.json").read_text())
    clocks = [each["time_stats"]["total"] for each in stats if "Filter" in each["name"] or "FILTER" in each["name"]]
    kept = stats[-1]["stats"]["forwarded"]
    num_kept = kept["total"] if isinstance(kept, dict) else kept
    return {"seconds": seconds, "filters_s": sum(clocks) / WORKERS, "kept": num_kept}


def datatrove_filters() -> list[Any]:
    """Return datatrove's filters in FineWeb's order."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    c4 = C4QualityFilter(filter_no_terminal_punct=False)
    return [GopherRepetitionFilter(), GopherQualityFilter(), c4, FineWebQualityFilter()]


def groundwork_verdicts(folder: Path) -> Record:
    """Return what each of our limits says of each document, and what C4's rules leave of its text."""
    import numpy as np

    from data_pipeline.documents import from_texts

    batch = from_texts(list(_texts(folder / "some.jsonl")))
    verdicts: list[Verdict] = [{} for _ in range(batch.num_rows)]
    left: list[str] = []
    for label, rule in rules().items():
        applied = rule.apply(batch)
        if label == "c4":
            left = applied.batch.column("text").to_pylist()
        for limit in rule.limits:
            values = applied.scores[limit.score]
            for reason, gone in ((limit.below, values < limit.least), (limit.above, values > limit.most)):
                for verdict, one in zip(verdicts, gone.tolist() if reason else [], strict=False):
                    verdict[f"{label}.{reason}"] = one
            assert not np.isnan(values).all()
    return {"verdicts": verdicts, "left": left}


def datatrove_verdicts(folder: Path) -> Record:
    """Return what each rule of datatrove alone says of each document, by our names."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter

    verdicts, left = [], []
    alone = _single_rules()
    c4 = C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=-1, filter_curly_bracket=False,
                         filter_lorem_ipsum=False)  # fmt: skip
    for number, text in enumerate(_texts(folder / "some.jsonl")):
        verdicts.append({name: _goes(rule, Document(text=text, id=str(number))) for name, rule in alone.items()})
        document = Document(text=text, id=str(number))
        c4.filter(document)
        left.append(document.text)
    return {"verdicts": verdicts, "left": left}


def datatrove_split_verdicts(folder: Path) -> Record:
    """Return the same with words by `str.split()`."""
    from datatrove.pipeline.filters import fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter

    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        module.split_into_words = lambda text, language: text.split()
    return datatrove_verdicts(folder)


def _goes(rule: Any, document: Any) -> bool:
    result = rule.filter(document)
    return not (result if isinstance(result, bool) else result[0])


def _single_rules() -> dict[str, Any]:
    """Return datatrove's filters with all rules but one turned off, by our names for that one."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    lines = {
        "duplicate_lines": ("dup_line_frac", 0.3), "duplicate_paragraphs": ("dup_para_frac", 0.3),
        "duplicate_line_chars": ("dup_line_char_frac", 0.2), "duplicate_paragraph_chars": ("dup_para_char_frac", 0.2),
    }  # fmt: skip
    no_lines = dict.fromkeys(key for key, _ in lines.values())
    no_grams: dict[str, Any] = {"top_n_grams": (), "dup_n_grams": ()}
    found: dict[str, Any] = {
        f"repetition.gopher_{name}": GopherRepetitionFilter(**no_lines | no_grams | {key: most})
        for name, (key, most) in lines.items()
    }
    for n, most in ((2, 0.2), (3, 0.18), (4, 0.16)):
        off = no_lines | no_grams | {"top_n_grams": ((n, most),)}
        found[f"repetition.gopher_top_{n}_gram"] = GopherRepetitionFilter(**off)
    for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1)):
        off = no_lines | no_grams | {"dup_n_grams": ((n, most),)}
        found[f"repetition.gopher_duplicate_{n}_grams"] = GopherRepetitionFilter(**off)
    quality = {
        "too_few_words": ("min_doc_words", 50), "too_many_words": ("max_doc_words", 100_000),
        "words_too_short": ("min_avg_word_length", 3), "words_too_long": ("max_avg_word_length", 10),
        "bullet_lines": ("max_bullet_lines_ratio", 0.9), "ellipsis_lines": ("max_ellipsis_lines_ratio", 0.3),
        "alpha_words": ("max_non_alpha_words_ratio", 0.8), "stop_words": ("min_stop_words", 2),
    }  # fmt: skip
    none = dict.fromkeys(key for key, _ in quality.values()) | {"max_symbol_word_ratio": None}
    for name, (key, value) in quality.items():
        found[f"gopher.gopher_{name}"] = GopherQualityFilter(**none | {key: value})
    c4 = {"filter_no_terminal_punct": False, "min_num_sentences": -1, "filter_lorem_ipsum": False,
          "filter_curly_bracket": False}  # fmt: skip
    documents = {
        "lorem_ipsum": ("filter_lorem_ipsum", True), "curly_brackets": ("filter_curly_bracket", True),
        "sentences": ("min_num_sentences", MIN_SENTENCES),
    }  # fmt: skip
    for name, (key, value) in documents.items():
        found[f"c4.c4_{name}"] = C4QualityFilter(**c4 | {key: value})
    off = {"line_punct_thr": 0.0, "short_line_thr": 1.0, "char_duplicates_ratio": 1.0, "new_line_ratio": 1e9}
    fineweb = {
        "ended_lines": ("line_punct_thr", 0.12), "short_lines": ("short_line_thr", 0.67),
        "duplicate_line_chars": ("char_duplicates_ratio", 0.01), "newlines_per_word": ("new_line_ratio", 0.3),
    }  # fmt: skip
    for name, (key, value) in fineweb.items():
        found[f"fineweb.fineweb_{name}"] = FineWebQualityFilter(**off | {key: value})
    return found


def _texts(path: Path) -> Iterator[str]:
    import orjson

    for line in path.read_bytes().splitlines():
        yield orjson.loads(line)["text"]


SIDES: dict[str, Callable[[Path], Record]] = {
    "groundwork": groundwork,
    "datatrove": datatrove,
    "groundwork-verdicts": groundwork_verdicts,
    "datatrove-verdicts": datatrove_verdicts,
    "datatrove-split-verdicts": datatrove_split_verdicts,
}

if __name__ == "__main__":
    print(json.dumps(SIDES[sys.argv[1]](Path(sys.argv[2]))))
