"""The settings as completion and hints read them, without pydantic, are those that pydantic knows."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from ocrctl.config.aliases import _FLAGS, _SETTING_OF, setting_of_alias
from ocrctl.config.catalogue import settings_catalogue
from ocrctl.config.load import setting_names
from ocrctl.config.settings import Settings

NAMES = setting_names()


def field(name: str) -> Any:
    model: type[BaseModel] = Settings
    *sections, last = name.split(".")
    for section in sections:
        model = model.model_fields[section].annotation  # type: ignore[assignment]
    return model.model_fields[last]


def choices(annotation: Any) -> tuple[str, ...]:
    if annotation is bool:
        return ("true", "false")
    if get_origin(annotation) in (types.UnionType, Union):  # Literal[...] | None is a Union
        return choices(get_args(annotation)[0])
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def test_names_choices_defaults_and_meanings_are_those_of_the_models() -> None:
    catalogue = settings_catalogue()
    assert [one.name for one in catalogue] == NAMES
    for one in catalogue:
        known = field(one.name)
        assert one.choices == choices(known.annotation), one.name
        assert one.help and one.help == known.description.strip().partition("\n")[0], one.name
        default = "" if known.default is None else str(known.default)
        default = default.lower() if isinstance(known.default, bool) else default
        assert one.default in (default, ""), one.name  # "": the source imports or computes it
    known_defaults = {one.name: one.default for one in catalogue}
    assert (known_defaults["train.lr"], known_defaults["train.channels_last"]) == ("0.001", "true")


def test_without_the_source_there_is_nothing_to_offer(tmp_path: Path) -> None:
    assert settings_catalogue(tmp_path / "settings.py") == []


@pytest.mark.parametrize(
    ("word", "setting", "value"),
    [
        ("--epochs", "train.max_epochs", ""),
        ("--lr", "train.lr", ""),
        ("train.learning_rate", "train.lr", ""),
        ("Learning-Rate", "train.lr", ""),
        ("--batch-size", "train.batch_size", ""),
        ("--workers", "data.workers", ""),
        ("--device", "train.device", ""),
        ("--fp16", "train.precision", "16-mixed"),
        ("model.lr", "train.lr", ""),
        ("--gpu", "train.device", "cuda"),
    ],
)
def test_words_of_other_tools(word: str, setting: str, value: str) -> None:
    assert setting_of_alias(word, NAMES) == (setting, value)


def test_every_habit_names_a_setting_and_hides_none() -> None:
    assert set(_SETTING_OF.values()) | {setting for setting, _ in _FLAGS.values()} <= set(NAMES)
    assert not set(_SETTING_OF) & {name.rpartition(".")[2] for name in NAMES}
    assert (
        setting_of_alias("--nonsense", NAMES) is None and setting_of_alias("width", NAMES) is None
    )  # model's or page's
