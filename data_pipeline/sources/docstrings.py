"""The documentation in a Python module as one text, read from its syntax tree; the module is never imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

MAX_SIGNATURE_CHARS = 300  # longer ones are tables of defaults, not prose

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def module_text(module: str, source: bytes) -> str:
    """Return a module's documentation: its name, its docstring, then each class and function that has one, in order.

    Args:
        module: the dotted name, e.g. `numpy.linalg`.
        source: the bytes of its file.
    Returns:
        The text; empty when nothing in the module has a docstring.
    Raises:
        SyntaxError: this version of Python can't parse the file.
        ValueError: the file holds a NUL byte or isn't in its declared encoding.
    """
    tree = _parse(source)
    sections = [docstring] if (docstring := _docstring(tree)) else []
    for name, node in _definitions(tree.body, module):
        if docstring := _docstring(node):
            sections.append(f"{_heading(name, node)}\n\n{docstring}")
    if not sections:
        return ""
    return "\n\n".join([f"{module}\n{'=' * len(module)}", *dict.fromkeys(sections)]) + "\n"


def help_topics(source: bytes) -> dict[str, str]:
    """Return the topics of Python's own `help()`, topic -> text, from the file `pydoc_data/topics.py`."""
    for node in _parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "topics" for target in targets):
            assert isinstance(node, ast.Assign)
            topics: dict[str, str] = ast.literal_eval(node.value)
            return topics
    return {}


def _parse(source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        return ast.parse(source)


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, _Definition]]:
    """Yield the qualified name and node of each class, method and function, also of those inside `if` and `try`."""
    for node in body:
        if isinstance(node, _Definition):
            name = f"{prefix}.{node.name}"
            yield name, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, name)
        elif isinstance(node, ast.If | ast.Try | ast.TryStar | ast.With):
            yield from _definitions(_inner(node), prefix)


def _inner(node: ast.If | ast.Try | ast.TryStar | ast.With) -> list[ast.stmt]:
    if isinstance(node, ast.With):
        return node.body
    if isinstance(node, ast.If):
        return node.body + node.orelse
    return node.body + [statement for handler in node.handlers for statement in handler.body] + node.orelse


def _docstring(node: ast.Module | _Definition) -> str:
    """Return a docstring without its indentation and outer blank lines."""
    return (ast.get_docstring(node, clean=True) or "").strip()


def _heading(name: str, node: _Definition) -> str:
    """Return how a class or function is called: `numpy.linalg.norm(x, ord=None)`, `class json.JSONEncoder(object)`."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}{_in_brackets(bases) if bases else ''}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{name}{_in_brackets(ast.unparse(node.args))}{returns}"


def _in_brackets(arguments: str) -> str:
    return f"({arguments})" if len(arguments) <= MAX_SIGNATURE_CHARS else "(...)"
