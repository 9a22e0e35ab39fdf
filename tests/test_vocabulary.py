"""Help texts and messages use the words of the field: none of the banned ones comes back once a package is swept."""

from __future__ import annotations

import ast
import inspect
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

import ocrctl

PACKAGE = Path(ocrctl.__file__).resolve().parent
# Banned, and the word to write. "photo", "place", "ask" and "least" have plain uses, so only their odd ones are named.
BANNED = {
    r"pictures?|pictured": "image",
    r"mend|mends|mended|mending": "fix",
    r"(look|looks|looked|looking) at": "check, inspect, find",
    r"judge|judges|judged|judging": "check, score; `ignored` for `not judged`",
    r"(asks|asked)(?! for)": "check, request",
    r"(its|their|the|a|this|that|same|other|each|every) place(?! of)": "path, location",
    r"(?<!decimal )places": "paths, locations; positional embedding",
    r"by heart": "overfit one batch",
    r"wear|wears|worn|wearing": "degrade, noise, blur",
    r"dice": "sampler",
    r"(is|are) none of": "is not supported, requires",
    r"(go|goes) with": "cannot be combined with, requires",
    r"first weights": "weight initialisation",
    r"at the least|the least": "minimum",
    r"lettering": "text rendering",
    r"honest|honestly": "(leave it out)",
}
RULES = [(re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), instead) for words, instead in BANNED.items()]

# Paths below ocrctl whose texts are not swept yet. One without a banned word must not be listed: delete its line.
NOT_SWEPT: tuple[str, ...] = ()


class Text(NamedTuple):
    """One text that a user reads, and where it stands."""

    path: str  # of the file that holds it, below ocrctl
    where: str
    text: str


def help_texts() -> Iterator[Text]:
    """The help of every command, argument and option."""

    def walk(command: object, path: tuple[str, ...], context: Context | None) -> Iterator[Text]:
        context = Context(command, info_name=path[-1] if path else "ocrctl", parent=context)  # type: ignore[arg-type]
        callback = getattr(command, "callback", None)
        source = (
            Path(inspect.getfile(inspect.unwrap(callback))).relative_to(PACKAGE) if callback else Path("cli/app.py")
        )
        name = " ".join(("ocrctl", *path))
        yield Text(source.as_posix(), name, getattr(command, "help", None) or "")
        for parameter in command.get_params(context):  # type: ignore[attr-defined]
            yield Text(source.as_posix(), f"{name} {parameter.name}", getattr(parameter, "help", None) or "")
        if isinstance(command, TyperGroup):
            for member in command.list_commands(context):
                yield from walk(command.get_command(context, member), (*path, member), context)

    from ocrctl.cli.app import app

    yield from walk(get_command(app), (), None)


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def literal(node: ast.AST) -> str:
    """The words of a string: those of an f-string with `{}` for each value put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else literal(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of each string with a space in it: messages, hints, help and report texts; no docstrings."""
    if text := literal(tree):
        if " " in text.strip():
            yield tree.lineno, text  # type: ignore[attr-defined]
    else:
        for node in ast.iter_child_nodes(tree):
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                yield from strings(node)


def messages(sources: dict[Path, ast.Module], root: Path = PACKAGE) -> Iterator[Text]:
    """The texts in the code, whatever they are passed to."""
    for path, tree in sources.items():
        below = path.relative_to(root).as_posix()
        yield from (Text(below, f"{below}:{line}", text) for line, text in strings(tree))


# Words of the field that the rules would ban: dice loss, AV1's still picture header, a key of older files.
IN_CODE = {("models/dbnet/loss.py", "dice"), ("models/pan/loss.py", "dice"), ("data/images/av1.py", "picture"),
           ("diagnose/quarantined.py", "places")}  # fmt: skip


def prose(root: Path = PACKAGE) -> Iterator[Text]:
    """The comments and docstrings of the code, line by line."""
    for path in sorted(root.rglob("*.py")):
        below = path.relative_to(root).as_posix()
        for token in tokenize.generate_tokens(StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
                lines = enumerate(token.string.splitlines(), token.start[0])
                yield from (Text(below, f"{below}:{number}", line) for number, line in lines)


def public_docstrings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(name, docstring) of each public function and method, properties too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from public_docstrings(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and (text := ast.get_docstring(node)):
            yield node.name, text


# Words that are no verbs in their base form, and endings of nouns and of other forms, with the verbs that have them.
NO_VERBS = {
    *("the", "a", "an", "all", "any", "every", "each", "both", "some", "same", "other", "one", "two", "four", "only"),
    *("it", "its", "this", "that", "these", "those", "what", "whether", "who", "why", "how", "where", "when", "which"),
    *("of", "in", "on", "at", "by", "for", "from", "with", "within", "without", "into", "as", "if", "up", "no"),
    *("not", "none", "also", "always", "true", "false", "mean", "median", "shape", "width", "height", "size", "path"),
    *("names", "image", "boxes", "points", "features", "optimiser", "memory", "model", "folder", "file", "largest"),
}
NOUN_ENDINGS = re.compile(
    r"(?!(?:pass|process|preprocess|compress|press|discuss|express|access|bring|string|embed|feed|seed|need|implement|increment|"
    r"document|segment|augment|complement|condition|position|partition|mention)$)"
    r".*(?:s|ing|ed|tion|ity|ness|ment)"
)


def is_verb(word: str) -> bool:
    """A plain word in its base form, as far as its spelling tells."""
    return word.isascii() and word.isalpha() and word not in NO_VERBS and not NOUN_ENDINGS.fullmatch(word)


def banned(texts: Iterator[Text]) -> list[tuple[str, str]]:
    """(path, one line) of each banned word."""
    return sorted(
        {
            (text.path, f"{text.where}: {found.group(0)!r}, write: {instead}")
            for text in texts
            for rule, instead in RULES
            if (found := rule.search(text.text))
        }
    )


@cache
def findings() -> list[tuple[str, str]]:
    return [*banned(help_texts()), *banned(messages(trees()))]


def test_swept_paths_use_the_words_of_the_field() -> None:
    assert [line for path, line in findings() if not path.startswith(NOT_SWEPT)] == []


def test_comments_and_docstrings_use_the_words_of_the_field() -> None:
    found = [
        line
        for text in prose()
        for path, line in banned(iter([text]))
        if not any(path == known and f"'{word}'" in line for known, word in IN_CODE)
    ]
    assert found == []


def test_a_docstring_begins_with_a_verb() -> None:
    """`Compute the loss: ...`, as torchtune and docTR do; not `The loss`, `Whether` or `(N, C, H, W) to`."""
    found = [
        f"{path.relative_to(PACKAGE).as_posix()}: {name}: {first}"
        for path, tree in trees().items()
        for name, text in public_docstrings(tree)
        if not is_verb((first := re.split(r"[\s,:;.]", text, maxsplit=1)[0]).lower()) or not first[0].isupper()
    ]
    assert found == []


@pytest.mark.parametrize("word", ["Compute", "Embed", "Return", "Split", "Process", "Implement", "Pass"])
def test_verbs(word: str) -> None:
    assert is_verb(word.lower())


@pytest.mark.parametrize("word", ["The", "Whether", "(N,", "Boxes", "Aggregation", "`x`", "1x1", "Escaped"])
def test_no_verbs(word: str) -> None:
    assert not is_verb(word.lower())


def test_a_path_that_is_swept_is_not_excused() -> None:
    swept = [prefix for prefix in NOT_SWEPT if not any(path.startswith(prefix) for path, _ in findings())]
    assert swept == [], "delete these from NOT_SWEPT"


def test_every_text_is_seen(tmp_path: Path) -> None:
    """Helps of all commands and strings of all forms: the tests above cannot pass because nothing was read."""
    helps = [text for text in help_texts() if text.text]
    assert {"ocrctl train", "ocrctl lmdb build", "ocrctl dataset clean", "ocrctl train out"} <= {t.where for t in helps}
    assert len(list(messages(trees()))) > 500
    code = '''
def f(name, bad):
    """Docstrings mend."""
    error = UsageError(f"{name}: a picture" " is missing", hint="mend it")
    message = "looks at " + name
    raise UsageError("is none of" if bad else f"goes with {'by heart'}")
'''
    source = {tmp_path / "data" / "x.py": ast.parse(code)}
    found = [line.split("'")[1] for _, line in banned(messages(source, tmp_path))]
    assert found == ["mend", "picture", "looks at", "goes with", "is none of"]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("3 pictures are missing", True),
        ("the picture's size", True),
        ("it is not judged", True),
        ("--batch goes with --data", True),
        ("written to its place", True),
        ("to 4 decimal places", False),
        ("the model is asked twice", True),
        ("CUDA was asked for", False),
        ("a placeholder in place of NAME", False),
        ("amend the label", False),
        ("take place at step 3", False),
    ],
)
def test_words_in_context(text: str, bad: bool) -> None:
    assert bool(banned(iter([Text("cli/x.py", "x", text)]))) == bad
