"""`ocrctl diagnose`: rows, JSON and exit codes, on made-up findings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ocrctl.cli.app import run
from ocrctl.core.diagnose import machine as diagnose
from ocrctl.diagnose.checks import Diagnosis, fail, ok, skipped, warn

NO_GPU = Diagnosis("cuda", (skipped("driver", "none"), ok("onnxruntime", "1.30")), "No GPU here.", False, False)
GOOD = Diagnosis(
    "cuda", (ok("driver", "580"), warn("memory cuda:0", "1 GiB free", "nvidia-smi", "little")), "CUDA is usable."
)
WRONG = replace(fail("matmul cuda:0", "relative error nan", "update", "wrong"), examined="a product")
BROKEN = Diagnosis("cuda", (WRONG,), "NOT usable", usable=False)
HALF = Diagnosis(
    "cuda", (ok("matmul cuda:0", "1e-6"), fail("onnxruntime session", "got CPU", "reinstall", "slow")), "usable"
)


@pytest.mark.parametrize(("finding", "plain", "required"), [(NO_GPU, 0, 4), (GOOD, 0, 0), (BROKEN, 1, 4), (HALF, 1, 1)])
def test_exit_codes(finding: Diagnosis, plain: int, required: int, monkeypatch, capsys):
    monkeypatch.setattr(diagnose, "diagnose_cuda", lambda **options: finding)
    assert run(["diagnose", "cuda"]) == plain
    assert run(["diagnose", "cuda", "--require"]) == required
    assert ("error: CUDA was required" in capsys.readouterr().err) == (required == 4)


def test_rows_piped_are_tab_separated_and_json_is_one_object(monkeypatch, capsys):
    monkeypatch.setattr(diagnose, "diagnose_cuda", lambda **options: BROKEN)
    run(["diagnose", "cuda"])
    out, err = capsys.readouterr()
    header, row = out.splitlines()
    assert header == "status\tcheck\tdetail\tfix\tmeaning\texamined" and "NOT usable" in err
    assert row == "fail\tmatmul cuda:0\trelative error nan\tupdate\twrong\ta product"
    assert run(["diagnose", "cuda", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["checks"][0]["status"] == "fail" and found["usable"] is False and found["device"] is True
    assert found["checks"][0]["fix"] == found["checks"][0]["mend"] == "update"  # the name of 0.1.0 stays for a release


@pytest.mark.parametrize("columns", ["100", "40"])
def test_rows_on_a_terminal_are_wrapped_under_their_status(columns: str, monkeypatch, capsys):
    long = Diagnosis(
        "environment", (fail("threads", "torch uses 8 " * 8, "export OMP_NUM_THREADS=2", "hangs"),), "1 fail"
    )
    monkeypatch.setattr(diagnose, "diagnose_environment", lambda **options: long)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["diagnose", "environment"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fail     threads: torch uses 8")
    assert all(line.startswith("         ") for line in lines[1:])
    assert max(map(len, lines)) <= int(columns) and any("fix: export" in line for line in lines)
    assert any("means: hangs" in line for line in lines)


def test_rows_skipped_for_one_reason_are_one_row(monkeypatch, capsys):
    rows = (skipped("driver", "no driver"), ok("gloo", "fine"), skipped("memory", "no driver"), skipped("x", "other"))
    monkeypatch.setattr(diagnose, "diagnose_cuda", lambda **options: Diagnosis("cuda", rows, "No GPU here."))
    assert run(["diagnose", "cuda"]) == 0
    assert [line.split("\t")[:3] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["ok", "gloo", "fine"], ["skipped", "x", "other"], ["skipped", "driver, memory", "no driver"]
    ]  # fmt: skip
    assert run(["diagnose", "cuda", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["checks"]) == 4  # a program finds each by name


def test_this_machine_is_diagnosed(capsys):
    assert run(["diagnose", "environment", "--json"]) in (0, 1)
    names = {row["name"] for row in json.loads(capsys.readouterr().out)["checks"]}
    assert {"python", "versions", "threads", "cores", "shared memory"} <= names
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        assert run(["diagnose", "cuda"]) == 0
        assert "No GPU here" in capsys.readouterr().err


def test_a_run_folder_is_checked_with_its_own_settings_and_an_architecture_is_not(tmp_path, monkeypatch):
    """Before: the settings of the architecture, so that a run on Hangul words ended with an error about Latin ones."""
    from ocrctl.core.diagnose import model

    asked: list[model.ModelRequest] = []

    def examine(request: model.ModelRequest, progress: object) -> Diagnosis:
        asked.append(request)
        return GOOD

    monkeypatch.setattr(model, "diagnose_model", examine)
    (tmp_path / "config.toml").write_text('[train]\nlr = 0.5\n[synth]\nscript = "hangul"\n')
    (tmp_path / "other.toml").write_text("[train]\nlr = 0.25\n")
    given = ["diagnose", "model", str(tmp_path)]
    assert run(given) == run([*given, "--set", "train.lr=0.125"]) == run([*given, "-p", f"{tmp_path}/other.toml"]) == 0
    found = [(request.settings.synth.script, request.settings.train.lr) for request in asked]
    assert found == [("hangul", 0.5), ("hangul", 0.125), ("latin", 0.25)]
    (tmp_path / "crnn").mkdir()
    (tmp_path / "crnn" / "config.toml").write_text('[synth]\nscript = "hangul"\n')
    monkeypatch.chdir(tmp_path)  # a run folder with the name of an architecture
    assert run(["diagnose", "model", "crnn"]) == run(["diagnose", "model", "./crnn"]) == 0
    assert [request.settings.synth.script for request in asked[3:]] == ["latin", "hangul"]
