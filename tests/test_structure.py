"""The layout of the package: one folder per model family, no import cycles, no oversized modules."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import grimp
import pytest

from ocrctl.models.registry import FAMILIES, specs

PACKAGE = Path(__file__).parents[1] / "ocrctl"
ADDRESSES = re.compile(r"https?://\S+|baudm/parseq\S*")
# Comments and docstrings may cite a paper by its name, in its spelling; code and messages may not.
CITATIONS = re.compile(r"^\s*#[^\n]*|  # [^\n]*|\"\"\".*?\"\"\"", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("ocrctl")


def test_no_module_outside_its_family_names_an_architecture() -> None:
    names = re.compile(rf"\b({'|'.join(sorted({*specs(), *FAMILIES}, key=len, reverse=True))})\b")
    any_case = re.compile(names.pattern, re.IGNORECASE)
    found = []
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE)
        if part.parts[:1] == ("models",) and (part.parts[1] in FAMILIES or part.name == "registry.py"):
            continue
        text = ADDRESSES.sub("", path.read_text(encoding="utf-8"))
        code = CITATIONS.sub("", text)
        prose = "" if part.parts[0] == "cli" else text  # help texts show commands as examples
        found += [f"{part}: {match[0]}" for match in (*names.finditer(prose), *any_case.finditer(code))]
    assert not found


def test_no_module_imports_itself_by_way_of_others(graph: grimp.ImportGraph) -> None:
    cycles = []
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if module < imported and graph.chain_exists(imported, module):
                cycles.append(f"{module} <-> {imported}")
    assert not cycles


def test_modules_hold_one_idea_each() -> None:
    """None above 500 lines, at most 10 % below 40 (empty `__init__.py` not counted), a median of 90 to 250."""
    lines = {
        path.relative_to(PACKAGE).as_posix(): count
        for path in PACKAGE.rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines()))
    }
    assert {path for path, count in lines.items() if count > 500} == set()
    short = {path: count for path, count in sorted(lines.items()) if count < 40}
    assert len(short) <= len(lines) / 10, f"join short modules with one caller: {short}"
    assert 90 <= median(lines.values()) <= 250
