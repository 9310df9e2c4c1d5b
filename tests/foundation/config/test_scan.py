"""YAML files that don't mean what they say are refused before Hydra reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.config.scan import MAX_BYTES, scan_yaml
from foundation.errors import ConfigError


@pytest.mark.bad_input(50, 53)
@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("x: 010", "octal"),
        ("x: -010", "octal"),
        ("x: 12:30:45", "base-60"),
        ("x: nan", "not a number"),
        ("x: .nan", "not a number"),
        ("x: yes", "true or false"),
        ("x: [1, off]", "true or false"),
        ("b: 2", "stands twice"),
        ("x: {y: [{z: 1, z: 2}]}", "stands twice"),
        ("? [1, 2]\n: 3", "a list or mapping stands as a key"),
        ("x: !!python/object/apply:os.system [ls]", "tag"),
        ("x: &a [1]\ny: *a", "alias"),
        ("x: [1", "not valid YAML"),
    ],
)
def test_a_line_is_refused_with_its_number(tmp_path: Path, line: str, part: str) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(f"a: 1\nb: 1\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        scan_yaml(path)
    assert part in str(caught.value)
    if part != "not valid YAML":
        assert f"some.yaml:{4 if part == 'alias' else 3}: " in str(caught.value)


@pytest.mark.parametrize("line", ["x: '010'", "x: 0", "x: 0.1", "x: 10", "x: 1e-3", "x: 'yes'", "x: onward", "x: 0x1f"])
def test_a_line_that_means_what_it_says_passes(tmp_path: Path, line: str) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(line)
    scan_yaml(path)


@pytest.mark.bad_input(53)
def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="more than a config file may have"):
        scan_yaml(path)


def test_every_shipped_option_passes() -> None:
    files = sorted((Path(__file__).parents[3] / "conf").rglob("*.yaml"))
    assert len(files) > 10
    for path in files:
        scan_yaml(path)
