"""The model families: the one list of architectures, and those of plug-ins. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from ocrctl.config.kept_aspect import Resize, Tall
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.plugins import installed, missing_plugin, plugin_files
from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError
from ocrctl.models.family import GROUP, ModelFamily

if TYPE_CHECKING:
    from ocrctl.config.settings import ModelSettings

# folders of ocrctl/models with a spec.py
FAMILIES = ("crnn", "parseq", "satrn", "true2d", "ppocr", "svtrv2", "dbnet", "pan", "craft")
DEFAULT_ARCH = "crnn-tiny"


@cache
def built_in() -> dict[str, ModelFamily]:
    """Return the families of this package, by name. A folder's spec.py has one FAMILY, or several FAMILIES that share
    it."""
    found = {}
    for folder in FAMILIES:
        spec = import_module(f"ocrctl.models.{folder}.spec")
        for family in spec.FAMILIES if hasattr(spec, "FAMILIES") else (spec.FAMILY,):
            found[family.name] = family
    return found


@cache
def built_in_specs() -> dict[str, ModelSpec]:
    """Return the architectures of this package, by name."""
    return {spec.name: spec for family in built_in().values() for spec in family.specs}


def families() -> dict[str, ModelFamily]:
    """Return the families of this package and of the files of --plugin, by name. Raises PluginError for a broken file,
    and for one that has a name which is taken."""
    files = plugin_files()
    if not files:
        return built_in()
    from ocrctl.models.plugins import Source, plugin_family, refuse_taken

    found = dict(built_in())
    for file in files:
        family = plugin_family(Source(file=str(file)))
        if family is not None:
            refuse_taken(family, found)
            found[family.name] = family
    return found


def installed_families() -> dict[str, ModelFamily]:
    """Return the families of installed packages (entry points `ocrctl.models`), by name. Raises as `families`."""
    if not (points := installed(GROUP)):
        return {}
    from ocrctl.models.plugins import Source, plugin_family, refuse_taken

    found: dict[str, ModelFamily] = {}
    known = families()
    for point in points:
        family = plugin_family(Source(point=(point.name, point.value)))
        assert family is not None
        refuse_taken(family, {**known, **found})
        found[family.name] = family
    return found


class Architectures(Mapping[str, ModelSpec]):
    """Return every architecture by its name. Installed plug-ins are loaded only for a name that is not known without
    them, and to list all."""

    def __getitem__(self, name: str) -> ModelSpec:
        found = built_in_specs().get(name) if isinstance(name, str) else None
        if found is None:
            found = next((spec for spec in self._others() if spec.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        every = [*families().values(), *installed_families().values()]
        return iter([spec.name for family in every for spec in family.specs])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _others(self) -> Iterator[ModelSpec]:
        """Those of files, then of installed packages."""
        for family in families().values():
            yield from family.specs
        for family in installed_families().values():
            yield from family.specs


_architectures = Architectures()


def specs() -> Mapping[str, ModelSpec]:
    """Return every architecture by its name; see Architectures."""
    return _architectures


def get_spec(
    name: str,
    width: int | None = None,
    resize: Resize | None = None,
    tall: Tall | None = None,
    *,
    backbone: str = "auto",
    strides: str | None = None,
    plugin: str | None = None,
) -> ModelSpec:
    """Return the spec of architecture `name`, for images of another `width` in pixels, another way to `resize` them and
    to read `tall` ones, another `backbone` and other `strides` of a recogniser's features where these are given.

    plugin: the plug-in that it came from, as a run or a model card keeps it. Raises UsageError when the name is
    unknown, with the plug-in that is missing or the nearest name, and where one of the others does not suit.
    """
    known = specs()
    found = known.get(name)
    if found is not None:
        found = found.with_features(backbone, strides) if (backbone, strides) != ("auto", None) else found
        found = found if resize is None else found.with_resize(resize)
        found = found if tall is None else found.with_tall(tall)
        return found if width is None else found.at_width(width)
    if plugin:
        raise missing_plugin(f"The architecture {name!r}", plugin)
    raise UsageError(f"Unknown architecture {name!r}.{did_you_mean(name, known)}", hint="ocrctl model list")


def spec_for(name: str, model: ModelSettings) -> ModelSpec:
    """Return the spec of architecture `name` for the settings `model`; raises as `get_spec`."""
    return get_spec(
        name, model.width, model.resize, model.tall, backbone=model.backbone, strides=model.strides, plugin=model.plugin
    )


def family_of(arch: str) -> ModelFamily:
    """Return the family of architecture `arch`. Raises UsageError when that is unknown."""
    name = get_spec(arch).family
    return built_in().get(name) or families().get(name) or installed_families()[name]
