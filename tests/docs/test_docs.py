"""The documentation against the code: links and anchors resolve, commands parse, Python and TOML blocks are valid."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ocrctl.cli.app import app
from ocrctl.config.catalogue import settings_catalogue

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {"commands.md", "settings.md"}  # written by .ci/reference_pages.py, not committed
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("benchmarks/*.md")]
    if not (page.parent == DOCS / "reference" and page.name in GENERATED)
)
FENCE = re.compile(r"^([ \t]*)(```+|~~~+)[ ]*([\w-]*)[^\n]*\n(.*?)^\1\2[ \t]*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")


@functools.cache
def reference_pages() -> Any:
    """The module .ci/reference_pages.py."""
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / ".ci" / "reference_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def text_of(page: Path) -> str:
    """A page's text; a generated page is generated."""
    if page.parent == DOCS / "reference" and page.name in GENERATED:
        return str(reference_pages().PAGES[page.name]())
    return page.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text without fenced blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


@functools.cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings as Python-Markdown's toc names them, and explicit ids."""
    text = FENCE.sub("", text_of(page))
    found = {one or other for one, other in re.findall(r"id=\"([^\"]+)\"|\{#([\w-]+)\}", text)}
    for heading in re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())
        number = 0
        name = slug
        while name in found:
            number += 1
            name = f"{slug}_{number}"
        found.add(name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_anchor_resolves(page: Path) -> None:
    broken = []
    for target, other in LINK.findall(prose(text_of(page))):
        link = target or other
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        file = (page.parent / path).resolve() if path else page
        generated = file.parent == DOCS / "reference" and file.name in GENERATED
        if not generated and not file.exists():
            broken.append(f"{link}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            broken.append(f"{link}: no such heading")
    assert not broken


def shell_lines(text: str) -> Iterator[str]:
    """Command lines of a page: shell blocks, `$ ...` lines of transcripts, indented code, inline code."""
    for _, _, language, body in FENCE.findall(text):
        joined = re.sub(r"\\\n\s*", " ", body)
        if language in ("sh", "bash", "shell", "console"):
            yield from joined.splitlines()
        elif language in ("", "text"):
            kept = re.sub(r"^\$ .*\n(?=error: )", "", joined, flags=re.MULTILINE)  # a mistake, shown with its error
            yield from (line.removeprefix("$ ") for line in kept.splitlines() if re.match(r"(\$ )?ocrctl ", line))
    outside = FENCE.sub("", text)
    yield from (line.strip() for line in outside.splitlines() if re.match(r"(    |\t)ocrctl ", line))
    yield from (code.replace("\\|", "|") for code in re.findall(r"`(ocrctl [^`\n]+)`", outside))


def invocations(text: str) -> Iterator[list[str]]:
    """The arguments of every `ocrctl` call of a page, shell operators and comments taken off."""
    for line in shell_lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        try:
            tokens = list(lexer)
        except ValueError as error:
            raise AssertionError(f"{line!r}: {error}") from error
        words: list[str] = []
        for token in [*tokens, ";"]:
            if set(token) <= set("();<>|&"):
                if words and words[0] == "ocrctl":
                    yield words[1:]
                words = []
            else:
                words.append(token)
                if "ocrctl" in words[1:] and token == "ocrctl":  # `srun ocrctl`, `VAR=1 ocrctl`
                    words = ["ocrctl"]


ROOT_COMMAND = typer.main.get_command(app)


def problem(arguments: list[str]) -> str | None:
    """What the command line would say against these arguments, or None."""
    command: Any = ROOT_COMMAND
    context = command.make_context("ocrctl", [], resilient_parsing=True)
    rest = list(arguments)
    while rest and hasattr(command, "list_commands") and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        name = rest.pop(0)
        below = command.get_command(context, name)
        if below is None:
            return f"no command {name!r}"
        context = type(context)(below, info_name=name, parent=context)
        command = below
    known = {
        option for parameter in command.get_params(context) for option in [*parameter.opts, *parameter.secondary_opts]
    }
    synopsis = any(re.search(r"[\[\]|$*]|\.\.\.", word) for word in rest)
    for position, word in enumerate(rest):
        option = re.match(r"\[?(--?[A-Za-z][\w-]*)", word)
        before = rest[position - 1] if position else ""
        if option and before not in ("--set", "--charset") and option[1] not in known | {"-h", "--help"}:
            return f"no option {option[1]}"
        setting = re.match(r"([\w.]+)=", word)
        if before == "--set" and setting and setting[1] not in {known.name for known in settings_catalogue()}:
            return f"no setting {setting[1]!r}"
    if hasattr(command, "list_commands") or synopsis or not rest or {"-h", "--help", "--version"} & set(rest):
        return None
    while "--plugin" in rest:  # its file is read when the option is parsed
        del rest[rest.index("--plugin") : rest.index("--plugin") + 2]
    try:
        command.make_context(context.info_name, rest, parent=context.parent)
    except typer._click.exceptions.ClickException as error:  # type: ignore[attr-defined]
        return error.format_message()
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_parses_against_the_real_command(page: Path) -> None:
    found = [(arguments, problem(arguments)) for arguments in invocations(text_of(page))]
    assert not [f"ocrctl {shlex.join(arguments)}: {text}" for arguments, text in found if text]


def test_the_check_of_command_lines_finds_what_is_wrong() -> None:
    page = (
        "```sh\nFOO=1 ocrctl train crnn --epochs 3 && ocrctl lmdb make x \\\n  y  # note\n```\n"
        "`ocrctl eval -d x --set train.lrr=1`"
    )
    calls = list(invocations(page))
    assert calls == [
        ["train", "crnn", "--epochs", "3"],
        ["lmdb", "make", "x", "y"],
        ["eval", "-d", "x", "--set", "train.lrr=1"],
    ]
    assert [problem(call) for call in calls] == ["no option --epochs", "no command 'make'", "no setting 'train.lrr'"]
    assert problem(["lmdb", "build", "only-one"]) is not None
    assert problem(["train", "crnn", "-d", "words.lmdb", "--set", "train.lr=1e-3"]) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_and_toml_blocks_are_valid(page: Path) -> None:
    for _, _, language, body in FENCE.findall(text_of(page)):
        if language == "python":
            compile(body, str(page), "exec")
        elif language == "toml":
            tomllib.loads(body)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"(?<![\w/.-])((?:ocrctl|tests|benchmarks|profiles|\.ci)/[\w./-]*\w)", text_of(page))
    # a change log names what was there once
    assert page.name == "CHANGELOG.md" or not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]*\w\.py)::(\w+)`", text_of(page))
    assert not [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")]


def unresolved(dotted: str) -> bool:
    """Whether `ocrctl.a.b.Name` names neither a module nor something that a module defines or imports."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        file = ROOT.joinpath(*parts[:length])
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if file.is_file():
            rest = parts[length:]
            return bool(rest) and not re.search(rf"\b{re.escape(rest[0])}\b", file.read_text(encoding="utf-8"))
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_and_names_that_a_page_imports_or_mentions_exist(page: Path) -> None:
    text = text_of(page)
    named = set(re.findall(r"(?<![\w./@-])ocrctl(?:\.[A-Za-z_]\w*)+", text)) - {"ocrctl.formats", "ocrctl.models"}
    for module, names in re.findall(r"^from (ocrctl[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        named |= {f"{module}.{name.strip()}" for name in names.split(",")}
    assert not sorted(name for name in named if unresolved(name))


def test_the_check_of_names_finds_what_is_wrong() -> None:
    assert unresolved("ocrctl.models.find.nothing_like_it") and unresolved("ocrctl.no_module.find")
    assert not unresolved("ocrctl.models.find.find") and not unresolved("ocrctl.Engine")


def navigation(entries: list[Any]) -> Iterator[str]:
    """All pages that the navigation of zensical.toml names."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from navigation(below if isinstance(below, list) else [below])


def test_the_navigation_names_every_page_once() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    named = sorted(navigation(config["project"]["nav"]))
    written = {page.relative_to(DOCS).as_posix() for page in PAGES if DOCS in page.parents}
    assert named == sorted(written | {f"reference/{name}" for name in GENERATED})


def test_the_generated_pages_hold_every_command_and_every_setting() -> None:
    module = reference_pages()
    commands = module.commands_page()
    root = ROOT_COMMAND.make_context("ocrctl", [], resilient_parsing=True)
    paths = [path for path, _, _ in module.walk(ROOT_COMMAND, root) if path]
    assert ("dataset", "validate") in paths
    for path in paths:
        assert f"\n{'#' * (1 + len(path))} {' '.join(path)}\n" in commands
    settings = module.settings_page()
    for setting in settings_catalogue():
        assert f"| `{setting.name}` |" in settings


def test_images_are_small_and_used() -> None:
    everything = "\n".join(text_of(page) for page in PAGES)
    for image in (DOCS / "images").iterdir():
        assert image.stat().st_size < 150_000, image
        assert image.name in everything, image


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    gate = (ROOT / ".ci" / "sample_gate").read_text(encoding="utf-8")
    assert "pip install . && ocrctl predict docs/images/receipt.webp --format text" in readme
    assert 'ocrctl predict "$root/docs/images/receipt.webp" --format text' in gate
    start = "ocrctl train -p few-labels --from default:rec-latin --keep images:"
    assert start in readme and start in gate
    assert "pip install -e '.[dev]' && pytest -q -n 2" in readme
    assert "-e '.[dev]'" in ci and "pytest -q -n 2" in ci
