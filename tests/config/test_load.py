"""Layers of settings: precedence, strictness, and errors that name their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrctl.config.load import parse_sets, setting_names
from ocrctl.config.profiles import shipped_profiles
from ocrctl.core.settings import load_settings
from ocrctl.errors import InputError, UsageError


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_precedence_flag_over_set_over_environment_over_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = write(
        tmp_path / "low.toml", "[train]\nlr = 1.0\nbatch_size = 1\naccumulate = 1\nmax_steps = 1\nclip_norm = 1.0\n"
    )
    high = write(tmp_path / "high.toml", "[train]\nbatch_size = 2\naccumulate = 2\nmax_steps = 2\nclip_norm = 2.0\n")
    monkeypatch.setenv("OCRCTL_TRAIN__ACCUMULATE", "3")
    monkeypatch.setenv("OCRCTL_TRAIN__MAX_STEPS", "3")
    monkeypatch.setenv("OCRCTL_TRAIN__CLIP_NORM", "3")
    sets = ["train.max_steps=4", "train.clip_norm=4"]
    train = load_settings([low, high], sets, {"train": {"clip_norm": 5.0}}).train
    assert (train.lr, train.batch_size, train.accumulate, train.max_steps, train.clip_norm) == (1.0, 2, 3, 4, 5.0)
    assert train.weight_decay == 0.01  # the default, where no layer speaks


def test_a_profile_speaks_to_the_task_of_its_architecture() -> None:
    settings = load_settings(["rtx3060"])
    assert settings.arch == "crnn"
    assert (settings.train.batch_size, settings.train.accumulate) == (512, 1)
    detection = load_settings(["rtx3060"], task="detection").train
    assert (detection.batch_size, detection.accumulate, detection.precision) == (2, 2, "16-mixed")


def test_fine_tuning_starts_from_the_lower_rate_of_the_architecture() -> None:
    start = {"model": {"init": "base.ckpt"}}
    assert load_settings(flags={"arch": "ppocr-rec-small"}).train.lr == 3e-4
    assert load_settings(flags={"arch": "ppocr-rec-small"} | start).train.lr == 5e-5
    assert load_settings(sets=["train.lr=1e-3"], flags={"arch": "ppocr-rec-small"} | start).train.lr == 1e-3
    assert load_settings(flags={"arch": "crnn-tiny"} | start).train.lr == 1e-3  # has one rate for both


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
@pytest.mark.parametrize("task", ["recognition", "detection"])
def test_every_shipped_profile_loads_for_both_tasks(name: str, task: str) -> None:
    load_settings([name], task=task)


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["train.lrr=1"], "unknown setting 'train.lrr'. Did you mean 'train.lr'?"),
        (["train.workers=1"], "unknown setting 'train.workers'. Did you mean 'data.workers'?"),
        (["trian.lr=1"], "unknown setting 'trian'. Did you mean 'train'?"),
        (["train.foo=1"], "unknown setting 'train.foo'."),
        (["train.lr=fast"], "train.lr: input should be a valid number"),
        (["train.batch_size=0"], "train.batch_size: input should be greater than or equal to 1"),
        (["train.precision=bf16"], "train.precision: input should be 'auto'"),
        (["train=1"], "train is a section"),
        (["lr"], "expected section.name=value"),
    ],
)
def test_bad_sets_are_named(sets: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match="--set") as caught:
        load_settings(sets=sets)
    assert sentence in caught.value.message


def test_a_misspelt_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRCTL_TRIAN__LR", "1")
    with pytest.raises(UsageError, match="OCRCTL_TRIAN__LR.*Did you mean 'OCRCTL_TRAIN__LR'"):
        load_settings()


def test_a_bad_value_in_a_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRCTL_TRAIN__LR", "quick")
    with pytest.raises(UsageError, match="^OCRCTL_TRAIN__LR"):
        load_settings()


def test_reserved_variables_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRCTL_DATA", "/somewhere")
    monkeypatch.setenv("OCRCTL_DEBUG", "1")
    assert load_settings().data.train is None


def test_profile_errors_name_profile_section_and_neighbour(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown profile 'rtx306'. Did you mean 'rtx3060'"):
        load_settings(["rtx306"])
    with pytest.raises(UsageError, match="does not exist"):
        load_settings([str(tmp_path / "none.toml")])
    bad = write(tmp_path / "bad.toml", "[recognition.train]\nbatchsize = 3\n")
    with pytest.raises(
        UsageError, match=r"bad.toml, section recognition: unknown setting 'train.batchsize'.*batch_size"
    ):
        load_settings([bad])
    with pytest.raises(InputError, match="not a TOML file"):
        load_settings([write(tmp_path / "broken.toml", "[train\n")])


def test_values_of_set_are_toml_or_text() -> None:
    tree = parse_sets(["train.lr=1e-3", "data.weights=[1, 2.5]", "data.train=['a']", "train.precision=32-true"])
    assert tree == {"train": {"lr": 1e-3, "precision": "32-true"}, "data": {"weights": [1, 2.5], "train": ["a"]}}


def test_settings_are_frozen_and_all_documented() -> None:
    from ocrctl.core.profile import list_settings

    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.train.lr = 1.0  # type: ignore[misc]
    entries = list_settings()
    assert [entry.name for entry in entries] == setting_names()
    assert all(entry.help for entry in entries), [entry.name for entry in entries if not entry.help]


def test_none_unsets_a_value_of_a_profile(tmp_path: Path) -> None:
    profile = write(tmp_path / "long.toml", "[train]\nmax_epochs = 20\n")
    assert load_settings([profile]).train.max_epochs == 20
    settings = load_settings([profile], ["train.max_epochs=none", "train.max_steps=5"])
    assert (settings.train.max_epochs, settings.train.max_steps) == (None, 5)
    assert load_settings([], ["data.keep=none"]).data.keep == "none"  # a text of its own
    with pytest.raises(UsageError, match=r"train\.lr: input should be a valid number"):
        load_settings([], ["train.lr=none"])
