"""Old names of settings work in every layer for one release, with a warning that names the new one."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.config.load import setting_names, settings_from_tree
from ocrctl.config.profiles import load_profile
from ocrctl.config.renamed import RENAMED, RENAMED_VARIABLES
from ocrctl.core.runs.show import compare_runs
from ocrctl.core.settings import load_settings
from ocrctl.errors import RenamedWarning, UsageError

OLD_RUN = Path(__file__).parents[1] / "fixtures" / "v0_1" / "run"
ZOOM = "page.zoom_least is now called page.zoom_min"


@pytest.fixture(autouse=True)
def every_warning() -> Iterator[None]:
    """Show a warning each time, not once per process."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield


def profile(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_new_names_are_settings_and_old_ones_are_not() -> None:
    names = set(setting_names())
    assert set(RENAMED.values()) <= names
    assert not set(RENAMED) & names


@pytest.mark.parametrize(
    "text", ["[page]\nzoom_least = 0.3\n", "[detection.page]\nzoom_least = 0.3\n", "[dbnet.page]\nzoom_least = 0.3\n"]
)
def test_a_profile_may_use_the_old_name(tmp_path: Path, text: str) -> None:
    path = profile(tmp_path / "old.toml", text)
    with pytest.warns(RenamedWarning, match=f"profile {path}.*{ZOOM}"):
        assert load_settings([path], flags={"arch": "dbnet"}).page.zoom_min == 0.3


def test_set_may_use_the_old_name() -> None:
    with pytest.warns(RenamedWarning, match=f"^--set: {ZOOM}; the old name will stop working in the next release.$"):
        assert load_settings(sets=["page.zoom_least=0.3"]).page.zoom_min == 0.3


def test_a_variable_may_use_the_old_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCRCTL_PAGE__ZOOM_LEAST", "0.3")
    low = profile(tmp_path / "low.toml", "[page]\nzoom_min = 0.5\n")
    with pytest.warns(RenamedWarning, match="OCRCTL_PAGE__ZOOM_LEAST is now called OCRCTL_PAGE__ZOOM_MIN"):
        assert load_settings([low]).page.zoom_min == 0.3
    monkeypatch.setenv("OCRCTL_PAGE__ZOOM_LEAST", "wide")
    with pytest.warns(RenamedWarning), pytest.raises(UsageError, match="^OCRCTL_PAGE__ZOOM_LEAST: page.zoom_min"):
        load_settings()


def test_a_saved_run_may_use_the_old_name() -> None:
    tree = load_profile(str(OLD_RUN / "config.toml"))
    assert {"zoom_least", "zoom_most"} <= tree["page"].keys()
    tree["page"]["zoom_least"] = 0.3
    with pytest.warns(RenamedWarning, match=ZOOM):
        settings = settings_from_tree(tree, "config.toml")
    assert (settings.page.zoom_min, settings.page.zoom_max) == (0.3, 2.2)
    assert settings.train.activation_checkpointing is False


def test_both_names_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = profile(tmp_path / "both.toml", "[page]\nzoom_least = 0.3\nzoom_min = 0.4\n")
    with pytest.raises(UsageError, match="page.zoom_least and page.zoom_min are two names of one setting"):
        load_settings([path])
    monkeypatch.setenv("OCRCTL_PAGE__ZOOM_LEAST", "0.3")
    monkeypatch.setenv("OCRCTL_PAGE__ZOOM_MIN", "0.4")
    with pytest.raises(UsageError, match="OCRCTL_PAGE__ZOOM_LEAST and OCRCTL_PAGE__ZOOM_MIN"):
        load_settings()


def test_a_flag_wins_over_an_old_name_in_set() -> None:
    with pytest.warns(RenamedWarning):
        assert load_settings(sets=["page.zoom_least=0.3"], flags={"page": {"zoom_min": 0.7}}).page.zoom_min == 0.7


def test_a_misspelt_variable_is_answered_with_a_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OCRCTL_PAGE__ZOOM_MOST" in RENAMED_VARIABLES
    monkeypatch.setenv("OCRCTL_PAGE__ZOOM_MOSTT", "1")
    with pytest.raises(UsageError, match=r"Did you mean 'OCRCTL_PAGE__ZOOM_M(IN|AX)'"):
        load_settings()


def test_runs_of_old_and_new_names_compare_as_equal(tmp_path: Path) -> None:
    text = (OLD_RUN / "config.toml").read_text(encoding="utf-8")
    for name, content in (("old", text), ("new", text.replace("zoom_least", "zoom_min"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(content, encoding="utf-8")
        (tmp_path / name / "metrics.csv").write_text("step,seconds\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare_runs([tmp_path / "old", tmp_path / "new"])[1] == {}


def test_the_command_line_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = profile(tmp_path / "old.toml", "[page]\nzoom_least = 0.3\n")
    assert run(["profile", "check", path, "--json"]) == 0
    out, err = capsys.readouterr()
    json.loads(out)
    assert err.splitlines()[0] == (
        f"warning: profile {path}: {ZOOM}; the old name will stop working in the next release."
    )
    assert "renamed.py" not in err
