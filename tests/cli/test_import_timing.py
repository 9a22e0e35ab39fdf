"""`ocrctl import-timing`: exit codes, JSON, baseline; real interpreters, one run each."""

from __future__ import annotations

import json
from pathlib import Path

from typer.main import get_command

from ocrctl.cli.app import app, run
from ocrctl.cli.command_line import command_paths


def test_commands_are_read_from_the_app():
    paths = command_paths(get_command(app))
    assert ("lmdb",) in paths and ("lmdb", "info") in paths and ("diagnose", "cuda") in paths and ("train",) in paths
    assert len(paths) == len(set(paths))


def test_rows_json_budget_and_baseline(tmp_path: Path, capsys):
    saved = tmp_path / "before.json"
    wide = ["--budget", "ocrctl=100", "--budget", "typer=100"]  # one run beside other work may exceed the usual ones
    one = ["import-timing", "ocrctl", "typer", "-n", "1", "--json", *wide]
    assert run([*one, "--save", str(saved), "--tree", "typer"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found["timings"]} == {"ocrctl", "typer"}
    assert all(row["ratio"] > 1 for row in found["timings"])
    assert any("typer" in node["name"] for node in found["tree"]["children"])

    assert run(["import-timing", "typer", "-n", "1", "--budget", "typer=1.01"]) == 1
    out, err = capsys.readouterr()
    assert "over budget" in out and "typer" in err
    assert run(["import-timing", "typer", "-n", "1", "--baseline", str(saved), "--tolerance", "20"]) == 0


def test_wrong_use(tmp_path: Path, capsys):
    assert run(["import-timing", "lmbd info"]) == 2
    assert "Did you mean 'lmdb info'?" in capsys.readouterr().err
    assert run(["import-timing", "--budget", "torch"]) == 2
    assert run(["import-timing", "typer", "--baseline", str(tmp_path / "none.json")]) == 3


def test_list(capsys):
    assert run(["import-timing", "--list"]) == 0
    assert "ocrctl lmdb info" in capsys.readouterr().out.splitlines()
