"""Model families of plug-ins: `FAMILY` in a file of `--plugin`, or an entry point of the group `ocrctl.models`.

The record of a plug-in is checked, and its functions are guarded: a mistake in them ends the command with a sentence
that names the file. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from inspect import Signature, signature
from pathlib import Path
from traceback import extract_tb
from typing import Any

from ocrctl.config.catalogue import settings_catalogue
from ocrctl.config.plugins import describe_error, installed, load_file, load_point, point_name
from ocrctl.errors import OcrctlError, PluginError
from ocrctl.models.family import GROUP, OBJECTIVES, ModelFamily, load_part
from ocrctl.models.spec_rules import spec_problems

HINT = "see docs/how-to/add-a-model.md"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
PARTS = ("build", "loss", "targets", "find_polygons", "published")


@dataclass(frozen=True)
class Source:
    """Where a plug-in comes from: a file, or an entry point (its name and value)."""

    file: str = ""
    point: tuple[str, str] | None = None

    @property
    def where(self) -> str:
        """Describe the plug-in for messages."""
        return f"plug-in {self.file}" if self.point is None else point_name(self._entry())

    @property
    def plugin(self) -> str:
        """Return the name that a model card keeps: of the file, or of the installed package."""
        if self.point is None:
            return Path(self.file).name
        found = next((one for one in installed(GROUP) if (one.name, one.value) == self.point), None)
        return found.dist.name if found is not None and found.dist is not None else self.point[1].partition(":")[0]

    def _entry(self) -> EntryPoint:
        assert self.point is not None
        return EntryPoint(*self.point, GROUP)

    def family(self) -> ModelFamily | None:
        """Load its family as the plug-in defines it, None without one. Raises PluginError when it cannot be loaded, or
        is wrong."""
        found: Any = getattr(load_file(Path(self.file)), "FAMILY", None) if self.point is None else None
        if self.point is not None:
            found = load_point(self._entry())
            found = getattr(found, "FAMILY", None) if not isinstance(found, ModelFamily) else found
            if not isinstance(found, ModelFamily) or found.name != self.point[0]:
                held = found.name if isinstance(found, ModelFamily) else type(found).__name__
                expected = f"a FAMILY called {self.point[0]!r}, as its entry point is"
                raise PluginError(f"{self.where}: expected {expected}, found {held}.", hint=HINT)
        if found is not None and (problem := _problem(found)):
            raise PluginError(f"{self.where}: {problem}.", hint=HINT)
        return found  # type: ignore[no-any-return]


@cache
def plugin_family(source: Source) -> ModelFamily | None:
    """Return the family of a plug-in for the registry: specs that name the plug-in, guarded functions. None when
    the plug-in brings no model. Raises as `Source.family`."""
    family = source.family()
    if family is None:
        return None
    parts: dict[str, Any] = {name: PluginPart(source, name) for name in PARTS if getattr(family, name) is not None}
    if family.objective not in OBJECTIVES:
        parts["objective"] = PluginPart(source, "objective")
    specs = tuple(replace(spec, plugin=source.plugin) for spec in family.specs)
    return replace(family, specs=specs, plugin=source.where, **parts)


class PluginPart:
    """A function of a plug-in, looked up when it is called.

    It is pickled as the plug-in's source and the function's name, so that a loader process that was started by spawn
    or forkserver loads the plug-in itself.
    """

    def __init__(self, source: Source, name: str) -> None:
        """`name`: a field of ModelFamily."""
        self.source, self.name = source, name
        self._function: Callable[..., Any] | None = None
        self._shapes: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {}

    def __reduce__(self) -> tuple[type[PluginPart], tuple[Source, str]]:
        return PluginPart, (self.source, self.name)

    @property
    def __signature__(self) -> Signature:
        return signature(self._loaded())

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it. Raises PluginError for what it raises by mistake, and for a result of another kind than expected."""
        function = self._loaded()
        with guarded(self.source.where, self.name):
            result = function(*arguments, **named)
        if problem := self._wrong(result, arguments):
            raise PluginError(f"{self.source.where}: {self.name} {problem}.", hint=HINT)
        return result

    def _loaded(self) -> Callable[..., Any]:
        if self._function is None:
            family = self.source.family()
            part = getattr(family, self.name)
            try:
                self._function = load_part(part)
            except (ImportError, AttributeError, ValueError) as error:
                raise PluginError(
                    f"{self.source.where}: {self.name}: there is no {part} ({error}).", hint="name it MODULE:FUNCTION"
                ) from error
        return self._function

    def _wrong(self, result: Any, arguments: tuple[Any, ...]) -> str:
        if self.name not in ("find_polygons", "targets"):
            return ""
        import numpy as np  # what only reads the specs does without

        from ocrctl.data.datasets.collate import map_problem
        from ocrctl.models.outlines.detections import Detections

        if self.name == "find_polygons":
            return "" if isinstance(result, Detections) else f"gave {type(result).__name__}, expected Detections"
        if not isinstance(result, Mapping) or not all(isinstance(found, np.ndarray) for found in result.values()):
            return f"gave {type(result).__name__}, expected numpy arrays by name"
        for name, found in result.items():
            if found.ndim != 2:
                return f"gave {name} of shape {found.shape}, expected (h, w)"
            if problem := map_problem(found):
                return f"gave {name}, which {problem}"
        shapes = {name: found.shape for name, found in result.items()}
        first = self._shapes.setdefault(arguments[1:3], shapes)
        return "" if first == shapes else f"gave {shapes} for one image and {first} for another of the same size"


class guarded:
    """Within the block, what a plug-in raises by mistake becomes a PluginError that names it and the line.

    Expected errors, failures of the system and a lack of memory pass, and so does everything where there is no plug-in
    (`where` None).
    """

    def __init__(self, where: str | None, what: str) -> None:
        self.where, self.what = where, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        passes = isinstance(error, (OcrctlError, OSError, MemoryError)) or not isinstance(error, Exception)
        if error is None or self.where is None or passes or type(error).__name__ == "OutOfMemoryError":
            return
        where = self.where.removeprefix("plug-in ")
        frames = extract_tb(error.__traceback__)
        file = next((frame.filename for frame in reversed(frames) if frame.filename == where), "")
        raise PluginError(f"{self.where}: {self.what} failed ({describe_error(error, file)}).", hint=HINT) from error


def refuse_taken(family: ModelFamily, others: Mapping[str, ModelFamily]) -> None:
    """Raise PluginError when the name of a plug-in's family, or of an architecture in it, is one of `others`."""
    taken = {spec.name: other for other in others.values() for spec in other.specs}
    for kind, name in [("family", family.name), *(("architecture", spec.name) for spec in family.specs)]:
        other = others.get(name) if kind == "family" else taken.get(name)
        if other is not None:
            owner = other.plugin or "ocrctl itself"
            raise PluginError(f"{family.plugin}: the {kind} {name!r} exists already in {owner}.", hint="rename it")


def _problem(family: Any) -> str:
    """What is wrong with a record; "" when nothing is."""
    if not isinstance(family, ModelFamily):
        return f"FAMILY is {type(family).__name__}, expected a ModelFamily"
    if not isinstance(family.name, str) or not NAME.fullmatch(family.name):
        return f"the family's name {family.name!r} should be lower-case letters, digits, '-', '.' and '_'"
    if family.name in {"recognition", "detection", "description"} | {
        one.name.partition(".")[0] for one in settings_catalogue()
    }:
        return f"the family's name {family.name!r} is a section of every profile; choose another"
    if not isinstance(family.specs, tuple) or not family.specs:
        return "specs should be a tuple with a ModelSpec for each architecture"
    for spec in family.specs:
        if problems := spec_problems(spec, family.name):
            return f"{getattr(spec, 'name', 'a spec')}: {'; '.join(problems)}"
        if not NAME.fullmatch(spec.name):
            return f"the name {spec.name!r} should be lower-case letters, digits, '-', '.' and '_'"
    names = [spec.name for spec in family.specs]
    if len(set(names)) < len(names):
        return f"specs name an architecture twice: {', '.join(names)}"
    return _parts_problem(family)


def _parts_problem(family: ModelFamily) -> str:
    """What is wrong with its functions and its objective."""
    tasks, kinds = {spec.task for spec in family.specs}, {spec.tokenizer for spec in family.specs}
    if len(tasks) > 1:
        return "a family has either recognisers or detectors"
    detects = tasks == {"detection"}
    for name in ("build", "objective", *(("targets", "find_polygons") if detects else ())):
        if getattr(family, name) is None:
            return f"lacks {name}"
    for name in PARTS:
        part = getattr(family, name)
        if part is not None and not callable(part) and not (isinstance(part, str) and ":" in part):
            return f"{name} is {part!r}, expected a function or 'MODULE:FUNCTION'"
    objective = family.objective
    if not callable(objective) and objective not in OBJECTIVES and ":" not in str(objective):
        return f"objective {objective!r}: expected {', '.join(OBJECTIVES)}, a function or 'MODULE:FUNCTION'"
    if isinstance(objective, str) and objective in OBJECTIVES and kinds != {OBJECTIVES[objective]}:
        wanted = OBJECTIVES[objective]
        return f"objective {objective!r} requires " + (f"the tokenizer {wanted!r}" if wanted else "a detector")
    if objective == "maps" and family.loss is None:
        return "lacks loss, which the objective 'maps' requires"
    return ""
