"""Read names, choices, defaults and docstrings of all settings from the source of settings.py.

Uses the standard library only: shell completion needs them in milliseconds, importing pydantic takes 0.3 s.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).with_name("settings.py")


class Setting(NamedTuple):
    """One setting: dotted name, allowed values (none for numbers and strings), default as typed ("" for None), and the
    first line of its docstring."""

    name: str
    choices: tuple[str, ...]
    default: str
    help: str


def settings_catalogue(source: Path = SOURCE) -> list[Setting]:
    """Return every setting in the order of the source; none where the source is not installed beside the code."""
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except OSError:
        return []
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    aliases = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return _of_class(classes["Settings"], "", classes, aliases) if "Settings" in classes else []


def _of_class(
    node: ast.ClassDef, prefix: str, classes: dict[str, ast.ClassDef], aliases: dict[str, ast.expr]
) -> list[Setting]:
    found: list[Setting] = []
    for index, statement in enumerate(node.body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name, annotation = statement.target.id, statement.annotation
        if isinstance(annotation, ast.Name) and annotation.id in classes:
            found += _of_class(classes[annotation.id], f"{prefix}{name}.", classes, aliases)
            continue
        text = _docstring(node.body[index + 1 : index + 2])
        found.append(Setting(prefix + name, _choices(annotation, aliases), _default(statement.value), text))
    return found


def _choices(annotation: ast.expr, aliases: dict[str, ast.expr]) -> tuple[str, ...]:
    """Return the values of Literal[...], also behind an alias or in a union with None; true and false for bool."""
    if isinstance(annotation, ast.Name):
        if annotation.id == "bool":
            return ("true", "false")
        return _choices(aliases[annotation.id], aliases) if annotation.id in aliases else ()
    if isinstance(annotation, ast.BinOp):  # X | None
        return _choices(annotation.left, aliases)
    if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) != "Literal":
        return ()
    words = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    return tuple(str(word.value) for word in words if isinstance(word, ast.Constant))


def _default(value: ast.expr | None) -> str:
    """Return the default as typed; for Field(...) its first argument."""
    if isinstance(value, ast.Call):
        value = value.args[0] if value.args else None
    try:
        found: Any = None if value is None else ast.literal_eval(value)
    except ValueError:  # an expression, such as 1 << 20
        return ""
    return "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def _docstring(following: list[ast.stmt]) -> str:
    if following and isinstance(following[0], ast.Expr) and isinstance(following[0].value, ast.Constant):
        return str(following[0].value.value).strip().partition("\n")[0]
    return ""
