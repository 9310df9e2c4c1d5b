from __future__ import annotations

import ast
import gc
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.sources.pydocs import PACKAGES, PyDocs
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two packages that nobody can import."""
    files = {
        "alpha_pkg/__init__.py": '"""Alpha."""\nraise RuntimeError("imported")\n',
        "alpha_pkg/b.py": "def f(x):\n    'Do f: \\ud800.'\n",
        "alpha_pkg/a/__init__.py": '"""Sub."""',
        "alpha_pkg/bare.py": "x = 1\n",
        "alpha_pkg/broken.py": "def (\n",
        "alpha_pkg/tests/test_b.py": '"""A test."""',
        "beta_pkg/__init__.py": '"""Beta, at some length, so that it may not fit."""',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return ["alpha_pkg", "beta_pkg"]


def test_modules_become_documents_without_being_imported(read: Read, packages: list[str]) -> None:
    for partition_bytes in (1, 100, 1 << 20):
        documents, quarantined = read(PyDocs(packages=packages), partition_bytes)
        assert [(document["file"], document["id"]) for document in documents] == [
            (0, "alpha_pkg#unknown"), (0, "alpha_pkg.a#unknown"), (0, "alpha_pkg.b#unknown"), (1, "beta_pkg#unknown"),
        ]  # fmt: skip
        assert documents[2]["text"] == "alpha_pkg.b\n===========\n\nalpha_pkg.b.f(x)\n\nDo f: ?.\n"
        assert [bad.reason for bad in quarantined] == ["python_syntax"]
        assert quarantined[0].data.startswith(b"alpha_pkg.broken: ")
    assert not {"alpha_pkg", "beta_pkg"} & sys.modules.keys()


def test_the_corpus_ends_before_the_module_that_would_exceed_max_bytes(
    read: Read, packages: list[str], tmp_path: Path
) -> None:
    documents, quarantined = read(PyDocs(packages=packages))
    modules = ["alpha_pkg/__init__", "alpha_pkg/a/__init__", "alpha_pkg/b", "alpha_pkg/bare", "alpha_pkg/broken"]
    sizes = [(tmp_path / f"{module}.py").stat().st_size for module in (*modules, "beta_pkg/__init__")]
    for max_bytes in range(1, sum(sizes) + 1):
        fitting = sum(sum(sizes[: count + 1]) <= max_bytes for count in range(len(sizes)))
        found = read(PyDocs(max_bytes, packages))
        assert found[0] == documents[: [0, 1, 2, 3, 3, 3, 4][fitting]]  # bare has no documentation, broken no syntax
        assert found[1] == (quarantined if fitting >= 5 else [])


def test_a_package_can_be_read_alone_in_a_fresh_process(packages: list[str]) -> None:
    first, second = PyDocs(packages=packages).files()
    for max_bytes in (first.size_bytes - 1, first.size_bytes + second.size_bytes):
        source = PyDocs(max_bytes, packages)
        files = source.files()
        in_order = [list(source.blocks(file, 1)) for file in files]
        alone = list(pickle.loads(pickle.dumps(PyDocs(max_bytes, packages))).blocks(files[1], 1))
        assert alone == in_order[1]
    assert len(alone) == 1


def test_reading_a_package_parses_none_of_it(packages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing is nearly all of the work, and belongs to the workers."""
    monkeypatch.setattr(ast, "parse", lambda source: pytest.fail("parsed"))
    source = PyDocs(packages=packages)
    for file in source.files():
        assert list(source.blocks(file, 1 << 20))


def test_parsing_leaves_the_collector_as_it_was(packages: list[str]) -> None:
    source = PyDocs(packages=packages)
    file = source.files()[0]
    (block,) = source.blocks(file, 1 << 20)
    for is_on in (False, True):
        (gc.enable if is_on else gc.disable)()
        try:
            source.parse(block, file, 0)
            assert gc.isenabled() == is_on
        finally:
            gc.enable()


def test_the_standard_library_is_read_with_its_topics(read: Read) -> None:
    documents, quarantined = read(PyDocs(8_000_000, ["python"]), 1 << 18)
    assert not quarantined
    by_id = {document["id"].partition("#")[0]: document["text"] for document in documents}
    assert by_id["help.assert"].startswith('The "assert" statement')
    assert "json.dumps(obj, *, skipkeys=False" in by_id["json"]
    assert "Serialize ``obj`` to a JSON formatted ``str``." in by_id["json"]
    assert sum(len(text.encode()) for text in by_id.values()) > 1_500_000
    assert not [name for name in by_id if name.startswith(("test.", "site-packages"))]


def test_names_of_files_hold_the_version_and_no_folder() -> None:
    names = [file.name for file in PyDocs().files()]
    assert names[0] == f"python-{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    assert [name.rpartition("-")[0] for name in names] == list(PACKAGES)
    assert not [name for name in names if "/" in name or "+" in name or name.endswith("unknown")]


@pytest.mark.parametrize("name", ["no_such_package", "json.decoder", "../etc", "this"])
def test_a_package_that_is_none_is_named(name: str) -> None:
    with pytest.raises(InputError, match=rf"corpus\.packages: '{name}' is no installed package"):
        PyDocs(packages=[name]).files()


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(SettingError, match=r"^max_bytes: "):
        PyDocs(0)
    with pytest.raises(SettingError, match=r"^packages: "):
        PyDocs(packages=["numpy", "numpy"])
