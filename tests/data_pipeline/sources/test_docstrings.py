from __future__ import annotations

import pytest

from data_pipeline.sources.docstrings import help_topics, module_text

MODULE = b'''
"""About the module.

Not indented,
    but this.
"""
import does_not_exist
raise SystemExit("parsed, never run")

class Outer(dict, object):
    """The outer \\\\class."""

    class Inner:
        def method(self, a: int = 1, *rest, key=None) -> str:
            """
            A method.

                deeper
            """
            def hidden():
                """Inside a function."""

    def silent(self): ...

try:
    async def fetch(url): "Fetch it."
except ImportError:
    def fetch(url): "Fetch it slowly."

if True:
    def one(): """Once."""
else:
    def one(): """Once."""

def wide(first_argument="%s", second_argument="%s"): "Many defaults."
''' % (b"x" * 200, b"y" * 200)

TEXT = """\
pkg.mod
=======

About the module.

Not indented,
    but this.

class pkg.mod.Outer(dict, object)

The outer \\class.

pkg.mod.Outer.Inner.method(self, a: int=1, *rest, key=None) -> str

A method.

    deeper

pkg.mod.fetch(url)

Fetch it.

pkg.mod.fetch(url)

Fetch it slowly.

pkg.mod.one()

Once.

pkg.mod.wide(...)

Many defaults.
"""


def test_a_module_reads_as_a_text() -> None:
    assert module_text("pkg.mod", MODULE) == TEXT


def test_a_module_without_docstrings_gives_nothing() -> None:
    assert module_text("pkg", b"x = 1\ndef f(): pass\n") == ""
    assert module_text("pkg", b"") == ""


@pytest.mark.parametrize("source", [b"def f(:\n", b"x = '\x00'\n", b"# coding: no-such-encoding\n"])
def test_what_is_no_python_is_an_error(source: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        module_text("pkg", source)


def test_topics_are_read_from_their_literal() -> None:
    source = b"# made by a tool\ntopics = {'assert': 'The \"assert\" statement', 'in': r'''\\d'''}\n"
    assert help_topics(source) == {"assert": 'The "assert" statement', "in": "\\d"}
    assert help_topics(b"x = 1") == {}
