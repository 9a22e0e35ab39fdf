"""Shell completion of arguments and options, by the metavar of a parameter. Only the standard library and modules that
import nothing else are loaded, so that a completion is instant.

The names are read where they are defined: settings and formats in their source files, profiles in their folder.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer._click.shell_completion import CompletionItem, add_completion_class
from typer._completion_classes import BashComplete
from typer._completion_shared import _completion_scripts

from ocrctl.cli.command_line import COMPLETE

if TYPE_CHECKING:
    from typer._click import Command, Context, Parameter

    from ocrctl.config.catalogue import Setting

Offer = tuple[str, str]  # a word and its description
PACKAGE = Path(__file__).resolve().parent.parent
STREAMS = [("synth:words", "endless rendered words"), ("synth:pages", "endless rendered pages")]


def offer_words(command: Command) -> None:
    """Set the completions of every parameter of `command` whose metavar is known.

    Values are not converted, which would import pydantic, and no callback is called: only their presence is needed.
    """
    for parameter in command.params:
        parameter.process_value = _as_typed  # type: ignore[method-assign, assignment]
        words = _source(command, parameter)
        if words is not None:
            parameter.shell_complete = _completer(words)  # type: ignore[method-assign, assignment]


def _as_typed(context: Context, value: Any) -> Any:
    return value


def _completer(words: Callable[[str], Iterable[Offer]]) -> Callable[[Context, str], list[CompletionItem]]:
    def complete(context: Context, incomplete: str) -> list[CompletionItem]:
        found = [(word, text) for word, text in words(incomplete) if word.startswith(incomplete)]
        return [CompletionItem(word, help=text or None) for word, text in found]

    return complete


def _source(command: Command, parameter: Parameter) -> Callable[[str], Iterable[Offer]] | None:
    """Return the source of words for `parameter`; None for files, numbers and anything else."""
    metavar = str(getattr(parameter, "metavar", "") or "").removesuffix("...").strip("[]")
    if "--format" in parameter.opts:
        return (lambda _: _plain(writers())) if command.name == "predict" else (lambda _: _plain(formats()))
    if "--charset" in parameter.opts:
        return lambda _: _plain(charsets())
    if "--for" in parameter.opts or metavar == "ARCH":
        return lambda _: architectures()
    if "--fail-on" in parameter.opts:
        return lambda _: _plain(["error", "warning", "info"])
    if metavar == "PROFILE":
        return lambda _: profiles()
    if metavar == "K=V":
        section = "synth." if command.name == "eval" else ""
        return lambda incomplete: settings(incomplete, section)
    if metavar == "SPEC":
        return specs
    if "|" in metavar:
        return lambda _: _plain(word.partition("[")[0] for word in metavar.split("|"))
    return None


def _plain(words: Iterable[str]) -> list[Offer]:
    return [(word, "") for word in words]


def architectures() -> list[Offer]:
    """Return every built-in architecture with its summary."""
    from ocrctl.models.registry import built_in_specs

    return [(spec.name, spec.summary) for spec in built_in_specs().values()]


def profiles() -> list[Offer]:
    """Return every shipped profile with its description."""
    from ocrctl.config.profiles import shipped_profiles

    described = re.compile(r'^description\s*=\s*"(.*)"', re.MULTILINE)
    found = []
    for name, path in shipped_profiles().items():
        line = described.search(path.read_text(encoding="utf-8"))
        found.append((name, line[1] if line else ""))
    return found


def charsets() -> list[str]:
    """Return the built-in charsets."""
    from ocrctl.text.charset import BUILTIN

    return list(BUILTIN)


def formats() -> list[str]:
    """Return the built-in formats: NAME in each file of data/formats."""
    return _names(PACKAGE / "data" / "formats")


def writers() -> list[str]:
    """Return the values of `predict --format`: names of line writers, of page files and of formats."""
    folder = PACKAGE / "inference" / "writers"
    files = re.search(r"^PAGE_FILES = (\(.*\))", _text(folder / "select.py"), re.MULTILINE)
    return list(dict.fromkeys([*_names(folder), *(ast.literal_eval(files[1]) if files else ()), *formats()]))


def _names(folder: Path) -> list[str]:
    pattern = re.compile(r'^(?:NAME = |[A-Z_]+ = LineWriter\()"(\w[\w-]*)"', re.MULTILINE)
    return [name for path in sorted(folder.glob("*.py")) for name in pattern.findall(_text(path))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # not installed as source
        return ""


def specs(incomplete: str) -> list[Offer]:
    """Return streams and format prefixes; nothing if a path starts with the word: the shell then completes paths."""
    from glob import escape, iglob

    prefix, colon, path = incomplete.partition(":")
    if colon and prefix != "synth":
        if shell() == "bash":  # bash splits words at colons and completes the path itself
            return []
        return [(f"{prefix}:{name}{os.sep if os.path.isdir(name) else ''}", "") for name in iglob(escape(path) + "*")]
    if next(iglob(escape(incomplete) + "*"), None) is not None:
        return []
    return [*STREAMS, *((f"{name}:", "format of the path that follows") for name in formats())]


def settings(incomplete: str, section: str = "") -> list[Offer]:
    """Return `name=` of each setting below `section`; for a complete name, or the only match, its values."""
    from ocrctl.config.catalogue import settings_catalogue

    every = [one for one in settings_catalogue() if one.name.startswith(section)]
    name, equals, _ = incomplete.partition("=")
    near = [one for one in every if (one.name == name if equals else one.name.startswith(name))]
    if len(near) != 1:
        return [(f"{one.name}=", one.help) for one in near]
    only = near[0]
    values = _values(only)
    found = [(f"{only.name}={value}", only.help) for value in values or filter(None, [only.default])]
    return found if values or equals else [(f"{only.name}=", only.help), *found]


def _values(setting: Setting) -> tuple[str, ...]:
    """Return the values of a setting; nothing for numbers, files and free text."""
    if setting.name == "arch":
        return tuple(name for name, _ in architectures())
    return tuple(charsets()) if setting.name == "data.charset" else setting.choices


def shell() -> str:
    """Return the shell that requests completions: bash, zsh, fish ..."""
    return os.environ.get(COMPLETE, "").rpartition("_")[2]


class Bash(BashComplete):
    """Completion for bash, which splits a word at `=` and `:`: words are joined again before matching."""

    _before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one, as typed."""
        words = os.environ["COMP_WORDS"].split("\n") if "\n" in os.environ["COMP_WORDS"] else None
        if words is None:  # a caller that joins them with spaces
            args, incomplete = super().get_completion_args()
            words, at = ["", *args, incomplete], len(args) + 1
        else:
            at = int(os.environ["COMP_CWORD"])
        joined: list[str] = []
        glued = False
        for word in words[1 : at + 1]:
            breaks = word in ("=", ":", "::")
            if joined and (glued or breaks):
                joined[-1] += word
            else:
                joined.append(word)
            glued = breaks
        incomplete = joined.pop() if joined else ""
        end = max(incomplete.rfind("="), incomplete.rfind(":")) + 1
        option = incomplete.find("=") + 1 if incomplete.startswith("--") else 0  # --set=K=V: its value is matched
        self._before = incomplete[option:end]
        return [_unquoted(word) for word in joined], _unquoted(incomplete)

    def format_completion(self, item: CompletionItem) -> str:
        """Return the part of the word that bash replaces."""
        return str(item.value).removeprefix(self._before)


def _unquoted(word: str) -> str:
    """Return a word without quotes and backslashes; an unfinished one without its opening quote."""
    import shlex

    try:
        return "".join(shlex.split(word))
    except ValueError:
        return word.lstrip("'\"")


# Typer's script, without a space after an incomplete word.
BASH_SCRIPT = """
%(complete_func)s() {
    local IFS=$'\\n'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \\
                   COMP_CWORD=$COMP_CWORD \\
                   %(autocomplete_var)s=complete_bash $1 ) )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

complete -o default -F %(complete_func)s %(prog_name)s
"""


def register() -> None:
    """Use `Bash` for bash, and its script for --install-completion and --show-completion."""
    Bash.source_template = BASH_SCRIPT
    scripts: dict[Any, str] = _completion_scripts
    scripts["bash"] = BASH_SCRIPT
    add_completion_class(Bash, "bash")
