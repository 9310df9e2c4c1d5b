"""docs/architecture.md is true: its links lead somewhere, its names are defined there, its picture is the imports."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
TEXT = (DOCS / "architecture.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\[([^\]]+)\]\(([^)#]+)\)", TEXT)
NAMES = [(name, target) for text, target in LINKS for name in re.findall(r"`([^`]+)`", text)]
# "`NAME` in [`file`](...), [`file`](...)"
LINK = r"\[`[^`]+`\]\([^)]+\)"
IN = [
    (name, target)
    for name, links in re.findall(rf"`(\w+)` in ((?:{LINK}(?:, )?)+)", TEXT)
    for target in re.findall(r"\]\(([^)]+)\)", links)
]
# the classes of boxes in the picture, by the folder of the source that they show
HALVES = {"d": "data_pipeline", "x": "data_pipeline", "p": "pretrain", "l": "launch", "g": "foundation"}


def defined_in(path: Path) -> set[str]:
    """What a module defines: classes, functions, methods as Class.method, constants; each also as module.name."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names | {f"{path.stem}.{name}" for name in names}


@pytest.mark.parametrize("target", sorted({target for _, target in LINKS}))
def test_a_link_leads_to_a_file(target: str) -> None:
    assert (DOCS / target).exists()


@pytest.mark.parametrize(("name", "target"), sorted(set(NAMES)))
def test_a_name_is_defined_where_it_leads(name: str, target: str) -> None:
    path = (DOCS / target).resolve()
    if path.suffix == ".py" and not name.endswith(".py"):
        assert name in defined_in(path)
    else:
        assert f"/{path.as_posix()}".endswith(f"/{name.rstrip('/')}")


@pytest.mark.parametrize(("name", "target"), sorted(set(IN)))
def test_a_name_said_to_be_in_a_file_is_defined_there(name: str, target: str) -> None:
    assert name in defined_in((DOCS / target).resolve())


def boxes() -> dict[str, tuple[float, float]]:
    """Module -> (top, left) of its box; `data_pipeline.clean`, `pretrain.train`, `launch`."""
    found = {}
    svg = "{http://www.w3.org/2000/svg}"
    for group in ET.parse(DOCS / "architecture.svg").iter(f"{svg}g"):
        half, rect, title = HALVES.get(group.get("class", "")), group.find(f"{svg}rect"), group.find(f"{svg}text")
        if half and rect is not None and title is not None and title.text:
            place = float(rect.get("y", "")), float(rect.get("x", ""))
            for name in re.findall(r"(\w+)(?:\.py|/)", title.text):
                found[half if name == half else f"{half}.{name}"] = place
    return found


def modules() -> dict[str, list[Path]]:
    """The boxes that there must be -> their files: a room's packages and modules; launch is one box."""
    found: dict[str, list[Path]] = {"launch": sorted((REPOSITORY / "launch").rglob("*.py"))}
    for half in sorted(set(HALVES.values()) - {"launch"}):
        for path in sorted((REPOSITORY / half).iterdir()):
            if path.suffix == ".py" and path.name != "__init__.py":
                found[f"{half}.{path.stem}"] = [path]
            elif (path / "__init__.py").exists():
                # a room's __main__.py is a command: it may call what stands above the room
                found[f"{half}.{path.name}"] = sorted(set(path.rglob("*.py")) - {path / "__main__.py"})
    return found


def imported(paths: list[Path]) -> set[str]:
    """What these files import of the project, as full module names."""
    names: set[str] = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_every_room_has_its_box() -> None:
    assert boxes().keys() == modules().keys()


def test_boxes_import_only_from_boxes_below_them() -> None:
    place = boxes()
    names = {box: imported(paths) for box, paths in modules().items()}
    edges = 0
    for one, other in product(place, place):
        if one == other or not any(f"{name}.".startswith(f"{other}.") for name in names[one]):
            continue
        edges += 1
        if other.startswith("data_pipeline.") and not one.startswith("data_pipeline."):
            assert other == "data_pipeline.shards", f"{one} imports {other}: the trainer knows only the shards"
            continue
        inside = place[one] == place[other]  # two names in one box
        beside = one.startswith("foundation.") and other.startswith("foundation.") and place[one][1] < place[other][1]
        assert place[one][0] < place[other][0] or beside or inside, f"{one} imports {other}, which is not below it"
    assert edges > 80


def test_the_picture_is_small_and_loads_nothing() -> None:
    svg = (DOCS / "architecture.svg").read_text(encoding="utf-8")
    assert len(svg) < 60_000
    assert not re.search(r"<script|<image|url\((?!#)|@import|href", svg)
