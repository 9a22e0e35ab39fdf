"""One broken run must not hide the others."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.core.runs.show import list_runs, summary
from ocrctl.errors import InputError

CRNN = "arch = 'crnn'\nseed = 0\n"
SECTIONS = "".join(f"[{name}]\n" for name in ("train", "data", "synth", "page", "model", "log"))


def folder(path: Path, config: str, metrics: str = "step,seconds,val_exact\n10,2.5,0.5\n") -> Path:
    path.mkdir(parents=True)
    (path / "config.toml").write_text(config)
    (path / "metrics.csv").write_text(metrics)
    return path


def test_list_goes_on_after_a_broken_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "a", CRNN + SECTIONS)
    folder(tmp_path / "b", "arch = ")
    folder(tmp_path / "c", CRNN + SECTIONS, "step,seconds,val_exact\nten,2.5,0.5\n")
    (folder(tmp_path / "d", "") / "metrics.csv").write_bytes(b"step\n\xff\n")
    assert [entry.problem is None for entry in list_runs(tmp_path)] == [True, False, False, False]
    assert run(["runs", "list", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run\tarch\tsteps\tsaved\ttime\tbest\tlast" and len(lines) == 5
    assert lines[1].startswith("a\tcrnn\t10") and lines[2] == "b\tunreadable\t-\t-\t-\t-\t-"
    assert run(["runs", "list", str(tmp_path), "--json"]) == 0
    assert "not a TOML file" in json.loads(capsys.readouterr().out)["runs"][1]["problem"]


@pytest.mark.parametrize("value", ["ten", "nan", "inf"])
def test_a_figure_that_is_no_number_is_named(tmp_path: Path, value: str) -> None:
    broken = folder(tmp_path / "a", CRNN + SECTIONS, f"step,seconds,val_exact\n{value},1,0.5\n")
    with pytest.raises(InputError, match="expected a number under step"):
        summary(broken)
    assert run(["runs", "show", str(broken)]) == 3


def test_compare_shows_the_architecture_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [folder(tmp_path / name, f"arch = '{name}'\nseed = {len(name)}\n{SECTIONS}") for name in ("crnn", "parseq")]
    assert run(["runs", "compare", *map(str, paths)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("arch")] == ["arch\tcrnn\tparseq"] and "seed\t4\t6" in lines


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "config.toml: damaged, it lacks arch, seed, train, data, synth, page, model, log"),
        (CRNN, "config.toml: damaged, it lacks train, data, synth, page, model, log"),
        (f"arch = 5\nseed = 0\n{SECTIONS}", "config.toml: arch"),
        ("arch = 'cr", "config.toml: not a TOML file"),
    ],
)
def test_a_damaged_config_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, said: str) -> None:
    """By the reader that `train --resume` uses, too."""
    path = folder(tmp_path / "runs" / "a", config)
    for command in (["runs", "show", str(path)], ["train", "--resume", "-o", str(path)]):
        assert run(command) == 3
        assert said in capsys.readouterr().err
    assert run(["runs", "list", str(tmp_path / "runs")]) == 0
    output, log = capsys.readouterr()
    assert output.splitlines()[1].startswith("a\tunreadable") and said in log


def test_the_saved_step_is_that_of_the_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A killed run has logged more steps than it saved."""
    import torch

    path = folder(tmp_path / "a", CRNN + SECTIONS)
    torch.save({"epoch": 3, "global_step": 70_000, "state_dict": {}}, path / "last.ckpt")
    assert summary(path).saved == 70_000 and summary(path).steps == 10
    assert run(["runs", "show", str(path)]) == 0
    assert "checkpoints: last.ckpt (step 70000, from which --resume continues)" in capsys.readouterr().out
    assert run(["runs", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[:4] == ["a", "crnn", "10", "70000"]


def test_settings_at_their_defaults_are_shown_with_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sections = SECTIONS.replace("[train]\n", "[train]\nlr = 0.5\nbatch_size = 64\n")
    path = folder(tmp_path / "a", CRNN + sections)
    assert run(["runs", "show", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[3:] == ["setting\tvalue\tdefault", "arch\tcrnn\t-", "train.lr\t0.5\t0.001"]
    assert "settings: 2 differ from the defaults; all: --all" in err
    assert run(["runs", "show", str(path), "--all"]) == 0
    assert "train.batch_size\t64" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"none"])
def test_a_damaged_checkpoint_has_no_saved_step(tmp_path: Path, content: bytes) -> None:
    path = folder(tmp_path / "a", CRNN + SECTIONS)
    (path / "last.ckpt").write_bytes(content)
    assert summary(path).saved is None
    with zipfile.ZipFile(path / "last.ckpt", "w") as archive:
        archive.writestr("last/data.pkl", b"\x80\x02}(X\x05\x00\x00\x00epochK\x03")  # cut off before the step
    assert summary(path).saved is None
