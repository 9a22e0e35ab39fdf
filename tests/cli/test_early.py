"""Misspelt models and missing data are refused before the libraries that read them are imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.config.suggest import near_path

COMMANDS = [
    (2, "predict photo.png -m default:foo"),
    (3, "predict nowhere.jpg neither.jpg"),
    (2, "eval default:foo -d photo.png"),
    (3, "eval default:det -d nowhere"),
    (2, "export crnn -o out"),
    (3, "export nowhere.ckpt -o out"),
    (3, "export default:det -o out --verify nowhere"),
    (2, "model cut default:re-latin --charset latin -o out.ckpt"),
    (2, "model merge default:foo default:det -o out.ckpt --alpha 0.5"),
    (3, "model merge default:det default:det -o out.ckpt --val nowhere"),
    (2, "predict photo.png --format jsnl"),
    (3, "predict photo.png -m photo.png --lexicon nowhere.txt"),
    (3, "eval photo.png -d photo.png --ngram english --ngram nowhere.txt"),
    (2, "eval photo.png -d photo.png --ngram lmbd:nowhere"),
    (2, "diagnose model crn"),
    (3, "diagnose model nowhere.ckpt"),
    (2, "diagnose model default:foo"),
    (3, "diagnose cuda --check-loader nowhere"),
]
CODE = """
import json, sys
from ocrctl.cli.app import run
from ocrctl.config.suggest import near_path
ended = [run(line.split()) for line in sys.argv[1:]]
print(json.dumps([ended, sorted({"torch", "onnxruntime", "onnx", "pydantic"} & set(sys.modules))]))
"""


def test_names_are_checked_before_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    command = [sys.executable, "-c", CODE, *(line for _, line in COMMANDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    codes, imported = json.loads(done.stdout)
    assert codes == [code for code, _ in COMMANDS] and imported == []
    assert done.stderr.count("unreadable: ") == 2 and "none of the 2 inputs could be read" in done.stderr
    assert (
        "error: nowhere.txt: there is no such file for --lexicon.\nhint: --lexicon FILE: one word a line" in done.stderr
    )
    assert "error: nowhere.txt: there is no such file for --ngram." in done.stderr
    assert "Did you mean 'default:rec-latin'?" in done.stderr and "Did you mean 'jsonl'?" in done.stderr
    assert "error: Unknown architecture 'crn'. Did you mean 'crnn'?\nhint: ocrctl model list\n" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_diagnose_refuses_data_and_profiles_before_torch(tmp_path: Path) -> None:
    lines = ["diagnose loader", "diagnose loader -d nowhere", "diagnose loader -p nowhere -d nowhere",
             "diagnose model crnn -d nowhere", "diagnose model crnn --charset nowhere"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CODE, *lines], capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path
    )
    codes, imported = json.loads(done.stdout)
    assert codes == [2, 3, 2, 3, 2] and "torch" not in imported, done.stderr


def test_a_misspelt_keep_is_refused_before_the_model_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "crnn-tiny", "--from", "nowhere.ckpt", "-d", "synth:words"]
    assert run([*words, "--keep", "synt"]) == 3
    assert "--keep synt: no such file or folder. Did you mean 'synth'?" in capsys.readouterr().err
    assert run([*words, "--general", "nono"]) == 3
    assert "--general nono: no such file or folder. Did you mean 'none'?" in capsys.readouterr().err
    assert run(["train", "crn-tiny", "--from", "nowhere.ckpt"]) == 2
    assert "Did you mean 'crnn-tiny'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "nearest"),
    [
        ("predict photo.pgn", "photo.png"),
        ("predict photo.png -m run/words", "runs/words"),
        ("eval runs/wrods -d photo.png", "runs/words"),
        ("eval default:det -d dta/gt.txt", "data/gt.txt"),
        ("eval default:det -d icdar15:dta", "data"),
        ("runs show runs/word", "runs/words"),
        ("train --resume -o runs/wrds", "runs/words"),
        ("lmdb info words.lmd", "words.lmdb"),
        ("train -d data/gt.txt --charset carset.txt -o new", "charset.txt"),
        ("train -d data/gt.txt --from runs/wordz -o new", "runs/words"),
    ],
)
def test_a_misspelt_path_is_answered_with_the_nearest(
    command: str, nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "runs/words/best.ckpt", "data/gt.txt", "words.lmdb/data.mdb", "charset.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('a.png, "a"\n')
    assert run(command.split()) in (2, 3)
    assert f"Did you mean '{nearest}'?" in capsys.readouterr().err


def test_no_path_is_invented(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert near_path(tmp_path / "run" / "words") == ""  # runs/words is not there
    assert near_path(tmp_path / "hidden") == "" and near_path("/nowhere/at/all") == ""
