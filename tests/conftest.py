"""What tests of several rooms need: real shards of real text, written once a session by the pipeline's own rooms; a
parser that judges pages, and a browser that opens them."""

from __future__ import annotations

import html.parser
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from foundation.page import curves, explorer, heat, pieces, scatter
from tests.corpus import write_data, write_pydocs
from tests.lines import TINY, Lines, one_thread

# No deadline: the first example of a fresh clone compiles kernels. The same examples in every run: a failure repeats.
hypothesis.settings.register_profile("ours", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ours")

# Tensors here are small: threads that wait for each other cost more than they do. Read when torch is imported first.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session", name="write_data")
def data_writer() -> Callable[..., None]:
    """Write a data folder as the pipeline does: a tokenizer trained on the training text, shards of both splits."""
    return write_data


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: 500 pieces of the standard library, of unequal lengths, a vocabulary of 512."""
    folder = tmp_path_factory.mktemp("corpus") / "data" / "pydocs"
    write_pydocs(folder)
    return folder


@pytest.fixture(scope="session")
def load_module() -> Callable[[Path], ModuleType]:
    """Import a file that lies beside a test, such as one that several ranks run as a script."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session", name="one_thread")
def environment_of_one_thread() -> dict[str, str]:
    """The environment for child processes."""
    return one_thread()


@pytest.fixture(scope="session")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """Lines typed in processes of their own."""
    return Lines(tmp_path_factory.mktemp("typed"))


@pytest.fixture(scope="session")
def run_ranks(typed: Lines, one_thread: dict[str, str]) -> Callable[..., str]:
    """Run a script as several ranks to a good end; return what all of them printed."""

    def run(script: Path, *arguments: object, ranks: int) -> str:
        line = typed.start(script, [str(argument) for argument in arguments], script.parent, one_thread, ranks=ranks)
        code, text = line.wait()
        assert code == 0, text
        return text

    return run


@pytest.fixture
def tiny(data_dir: Path) -> list[str]:
    """Overrides that make a run of a few seconds."""
    return [*TINY, f"data.path={data_dir}"]


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell that starts the tests in the background ignores SIGINT for them and all their children: take it back."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


VOID = {"meta", "br", "hr", "img", "link", "input"}
INSIDE = ("#", "data:image/png;base64,")
ADDRESSES = {"src", "href", "xlink:href", "action", "srcset", "poster", "data", "background"}


@dataclass
class Parsed(html.parser.HTMLParser):
    """A page as a parser that is not ours sees it.

    Attributes:
        tags: (tag, attributes) in order. texts: the pieces of text, in order. tables: each as rows of cells.
        scripts: their code.
    """

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in VOID:
            return
        self.stack.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.scripts.append(data)
        elif self.stack and self.stack[-1] != "style":
            self.texts.append(data)
        if {"td", "th"} & set(self.stack):  # a cell may be a link, or hold coloured pieces
            self.tables[-1][-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def facts(self) -> dict[str, str]:
        """The labelled values of the page: each label is followed by its value."""
        return dict(zip(self.texts, self.texts[1:], strict=False))


@pytest.fixture(scope="session")
def parse_page() -> Callable[[str | Path], Parsed]:
    """Parse a page and hold it against what every page promises: closed tags, no script but the
    page kit's own, nothing loaded."""

    def parse(page: str | Path) -> Parsed:
        source = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
        parsed = Parsed()
        parsed.feed(source)
        parsed.close()
        assert parsed.stack == []
        names = {tag for tag, _ in parsed.tags}
        assert set(parsed.scripts) <= {each.script() for each in (curves, explorer, heat, pieces, scatter)}
        assert len(set(parsed.scripts)) == len(parsed.scripts)
        assert not names & {"iframe", "object", "embed", "link", "base", "form"}
        for _, attributes in parsed.tags:
            assert all(value.startswith(INSIDE) for name, value in attributes.items() if name in ADDRESSES)
            assert not any(name.startswith("on") for name in attributes)
        style = source[source.index("<style>") : source.index("</style>")]
        assert "url(" not in style
        assert "@import" not in style
        return parsed

    return parse


@dataclass(frozen=True)
class Rendered:
    """A page in a browser. Attributes: dom: what it made of the source; png: the picture."""

    dom: str
    png: bytes


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int, int], Rendered]:
    """Open a page in a headless browser without network, at a width and height in pixels."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    home = tmp_path_factory.mktemp("browser")

    def run(*arguments: str) -> bytes:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--hide-scrollbars", "--no-first-run", "--proxy-server=127.0.0.1:9"]
        command += [f"--user-data-dir={home / 'profile'}"]
        env = {"HOME": str(home), "PATH": os.environ["PATH"]}
        return subprocess.run([*command, *arguments], capture_output=True, check=True, timeout=120, env=env).stdout

    def render(page: Path, width: int, height: int) -> Rendered:
        picture = home / "picture.png"
        size, address = f"--window-size={width},{height}", page.absolute().as_uri()
        run(size, f"--screenshot={picture}", address)
        return Rendered(run(size, "--dump-dom", address).decode(), picture.read_bytes())

    return render


@pytest.fixture
def disk_events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system is asked from now on, in its order: `flush <file>`, `name <file>`; a temporary file has a dot.

    What a power cut leaves can't be tried; the order can.
    """
    events: list[str] = []
    flush, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        events.append(f"flush {Path(f'/proc/self/fd/{descriptor}').readlink().name.partition('.tmp')[0]}")
        flush(descriptor)

    def replace(source: Path, target: Path) -> None:
        events.append(f"name {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return events
