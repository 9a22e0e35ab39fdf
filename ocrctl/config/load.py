"""Merge the layers of settings: flag > --set > environment > profiles (left to right) > default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from ocrctl.config.aliases import setting_of_alias
from ocrctl.config.limits import variable
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.plugins import missing_plugin
from ocrctl.config.profiles import load_profile
from ocrctl.config.renamed import RENAMED_VARIABLES, Tree, drop_removed, rename_settings, rename_variables
from ocrctl.config.settings import Section, Settings, TrainSettings
from ocrctl.config.suggest import did_you_mean, nearest_setting
from ocrctl.errors import UnknownSetting, UsageError
from ocrctl.shell import VARIABLES

TASKS = ("recognition", "detection")
Architectures = Mapping[str, ModelSpec]


def merge_settings(
    architectures: Architectures,
    profiles: Sequence[str] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    task: str | None = None,
) -> Settings:
    """Merge all layers and validate them. `architectures`: the registered ones, by name.

    `profiles` are names or paths; `sets` are "section.name=value"; `flags` is a nested mapping (None values are left
    out). `task` selects the profile's section; when None it is that of the architecture in the layers, whose family's
    section and default learning rate apply too.
    Raises UsageError for an unknown name, a bad value or a missing profile, naming its layer.
    """
    check_environment(os.environ)
    flag_tree = _without_none(dict(flags or {}))
    set_tree = parse_sets(sets)
    files = [(name, load_checked_profile(name, architectures)) for name in profiles]
    spec: ModelSpec | None = None
    if task is None:
        arch = flag_tree.get("arch") or set_tree.get("arch") or os.environ.get("OCRCTL_ARCH")
        arch = arch or next((tree["arch"] for _, tree in reversed(files) if "arch" in tree), None)
        if isinstance(arch, str) and arch:  # else the type is wrong; reported below
            if arch not in architectures:
                trees = [flag_tree, set_tree, *(tree for _, tree in reversed(files))]
                if plugin := next((tree["model"]["plugin"] for tree in trees if _holds(tree, ["model", "plugin"])), ""):
                    raise missing_plugin(f"The architecture {arch!r}", str(plugin))
                near = did_you_mean(arch, architectures)
                raise UsageError(f"Unknown architecture {arch!r}.{near}", hint="ocrctl model list")
            spec = architectures[arch]
        task = spec.task if spec else None
    family = spec.family if spec else None
    layers = [(f"profile {name}", for_task(tree, task, family)) for name, tree in files]
    profile_tree: Tree = {}
    for _, tree in layers:
        profile_tree = merge(profile_tree, tree)

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, _Environment(settings_cls), _Fixed(settings_cls, profile_tree)

    try:
        loaded = Layered(**merge(set_tree, flag_tree))
    except ValidationError as error:
        raise _usage_error(error, [("--set", set_tree), *reversed(layers)]) from error
    values = {name: getattr(loaded, name) for name in Settings.model_fields}
    if spec:  # marked as defaults: a resumed run keeps its own
        given = loaded.train.model_fields_set
        own: dict[str, Any] = {}
        if "lr" not in given:
            own["lr"] = spec.fine_tune_lr if loaded.model.init and spec.fine_tune_lr else spec.lr
        if spec.warmup_steps is not None and not given & {"warmup", "warmup_steps"}:
            own["warmup_steps"] = spec.warmup_steps
        values["train"] = TrainSettings.model_construct(_fields_set=set(given), **{**dict(loaded.train), **own})
    return Settings.model_construct(_fields_set=set(loaded.model_fields_set), **values)


def settings_from_tree(tree: Tree, origin: str) -> Settings:
    """Return the settings of one saved tree (a run's config.toml), without environment and profiles."""
    tree = rename_settings(drop_removed(tree), origin)
    check_keys(tree, origin)

    values: Tree = {}
    for name, value in tree.items():
        field = Settings.model_fields[name]
        section = field.annotation
        try:
            if isinstance(section, type) and issubclass(section, Section):
                values[name] = section(**value)
            else:
                kind: Any = Annotated[section, *field.metadata] if field.metadata else section
                values[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise _usage_error(error, [(origin, tree)], name) from error
    return Settings.model_construct(**values)


class _Environment(EnvSettingsSource):
    """OCRCTL_* variables without the reserved ones (OCRCTL_DATA would otherwise be read as the section `data`)."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        reserved = {name.lower() for name in VARIABLES}
        settings = {name: value for name, value in super()._load_env_vars().items() if name.lower() not in reserved}
        return rename_variables(settings)


class _Fixed(PydanticBaseSettingsSource):
    """The merged profiles as a source."""

    def __init__(self, settings_cls: type[BaseSettings], tree: Tree) -> None:
        super().__init__(settings_cls)
        self.tree = tree

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self.tree.get(field_name), field_name, False

    def __call__(self) -> Tree:
        return self.tree


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return all settings as dotted names, such as train.lr."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += setting_names(field.annotation, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def check_environment(environ: Mapping[str, str]) -> None:
    """Raise UsageError for an unknown OCRCTL_* variable (pydantic-settings would ignore it)."""
    names = setting_names()
    known = {variable(name) for name in names} | RENAMED_VARIABLES.keys()
    for name in sorted(environ):
        if name.startswith("OCRCTL_") and name not in known and name not in VARIABLES:
            if name.startswith(("OCRCTL_TEST_", "OCRCTL_COMPLETE", "OCRCTL_CI_")):
                continue
            meant = setting_of_alias(name.removeprefix("OCRCTL_").replace("__", "."), names)
            near = (
                f" Did you mean {variable(meant.setting)!r}?"
                if meant
                else did_you_mean(name, [*known - RENAMED_VARIABLES.keys(), *VARIABLES])
            )
            raise UsageError(
                f"Environment variable {name} is not a setting.{near}",
                hint=f"unset {name}",
            )


def check_keys(tree: Tree, origin: str, prefix: str = "") -> None:
    """Raise UsageError for an unknown key, naming `origin` and the nearest setting."""
    names = setting_names()
    for key, value in tree.items():
        dotted = prefix + key
        if dotted in names:
            continue
        if isinstance(value, dict) and any(name.startswith(dotted + ".") for name in names):
            check_keys(value, origin, dotted + ".")
            continue
        if any(name.startswith(dotted + ".") for name in names):
            inside = ", ".join(name for name in names if name.startswith(dotted + "."))
            raise UsageError(f"{origin}: {dotted} is a section, not a value; its settings are {inside}.")
        near = nearest_setting(dotted, names)
        raise UnknownSetting(f"{origin}: unknown setting {dotted!r}.{near}", hint="ocrctl profile check --settings")


def is_section(key: str, architectures: Architectures) -> bool:
    """Return whether `key` names a profile's section of settings for a task or a family of models."""
    if key in Settings.model_fields or key == "description":
        return False
    return key in TASKS or any(spec.family == key for spec in architectures.values())


def load_checked_profile(name: str, architectures: Architectures) -> Tree:
    """Load the profile `name`, replace the old names of settings, and check its keys. Raises UsageError or
    InputError."""
    origin = f"profile {name}"
    tree = rename_settings(load_profile(name), origin)
    for key, value in tree.items():
        if isinstance(value, dict) and is_section(key, architectures):
            tree[key] = rename_settings(tree[key], f"{origin}, section {key}")
    check_profile(tree, origin, architectures)
    return tree


def check_profile(tree: Tree, origin: str, architectures: Architectures) -> None:
    """Check the keys of a profile: settings, `description`, and sections for tasks and model families."""
    for key, value in tree.items():
        if isinstance(value, dict) and is_section(key, architectures):
            check_keys(value, f"{origin}, section {key}")
        elif key != "description":
            check_keys({key: value}, origin)


def for_task(tree: Tree, task: str | None, family: str | None) -> Tree:
    """Return the settings of a checked profile for one task: the common ones, then the section of the task, then of
    the family."""
    common = {key: value for key, value in tree.items() if key in Settings.model_fields}
    merged = merge(common, tree.get(task, {}) if task else {})
    return merge(merged, tree.get(family, {}) if family else {})


def parse_sets(sets: Sequence[str]) -> Tree:
    """Parse `section.name=value` strings to a tree; a value that is not TOML is a string, and `none` unsets a setting
    that may be without a value and is no text, such as train.max_epochs of a profile."""
    tree: Tree = {}
    for item in sets:
        name, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item}: expected section.name=value, such as --set train.lr=1e-3.")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = text
        branch: Any = value
        if isinstance(value, str) and value.lower() == "none" and _may_be_unset(name.strip()):
            branch = None
        for part in reversed(name.strip().split(".")):
            branch = {part: branch}
        branch = rename_settings(branch, "--set")
        check_keys(branch, "--set")
        tree = merge(tree, branch)
    return tree


def _may_be_unset(name: str) -> bool:
    """Return whether the setting `name` may be None and does not take the text `none` as a value."""
    section, _, last = name.rpartition(".")
    model: Any = Settings.model_fields[section].annotation if section in Settings.model_fields else Settings
    field = getattr(model, "model_fields", {}).get(last)
    if field is None or type(None) not in get_args(field.annotation):
        return False
    try:
        TypeAdapter(field.annotation).validate_python("none")
    except ValidationError:
        return True
    return False


def merge(low: Tree, high: Tree) -> Tree:
    """Merge `high` over `low`, section by section."""
    merged = dict(low)
    for key, value in high.items():
        merged[key] = (
            merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
        )
    return merged


def _without_none(tree: Tree) -> Tree:
    cleaned = {key: _without_none(value) if isinstance(value, dict) else value for key, value in tree.items()}
    return {key: value for key, value in cleaned.items() if value is not None and value != {}}


def _usage_error(error: ValidationError, layers: Sequence[tuple[str, Tree]], section: str = "") -> UsageError:
    first = error.errors()[0]
    path = [*([section] if section else []), *(str(part) for part in first["loc"])]
    names = setting_names()
    while path and ".".join(path) not in names:
        path.pop()
    dotted = ".".join(path)
    variables = [variable(dotted), *(old for old, new in RENAMED_VARIABLES.items() if new == variable(dotted))]
    given = {name.upper() for name in os.environ}
    origin = next((origin for origin, tree in layers if _holds(tree, path)), None)
    if origin in (None, *[o for o, _ in layers[1:]]):
        origin = next((name for name in variables if name in given), origin)
    return UsageError(f"{origin or 'setting'}: {dotted}: {first['msg'].lower()}, found {first.get('input')!r}.")


def _holds(tree: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True
