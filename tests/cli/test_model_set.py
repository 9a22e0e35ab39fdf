"""`ocrctl model set`: thresholds in the file of a detector, read by what comes after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY
from ocrctl.core.runs.folder import lock_run, unlock
from ocrctl.models.checkpoint import load_checkpoint


def thresholds(model: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    capsys.readouterr()
    assert run(["model", "info", str(model), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out)["card"]["thresholds"])


@pytest.fixture
def detector(tiny_detector: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_detector, tmp_path / "detector.ckpt"))


def boxes(model: Path, pages: Path, capsys: pytest.CaptureFixture[str]) -> int:
    capsys.readouterr()
    assert run(["predict", str(pages), "-m", str(model), "--device", "cpu"]) == 0
    return sum(len(json.loads(line)["boxes"]) for line in capsys.readouterr().out.splitlines())


def test_thresholds_are_written_into_the_checkpoint_and_used(
    detector: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = thresholds(detector, capsys)
    assert boxes(detector, page_folder, capsys) > 0
    assert run(["model", "set", str(detector), "box_threshold=1", "whole_pixels=1"]) == 0
    out = capsys.readouterr().out
    assert f"box_threshold: {before['box_threshold']:g} -> 1" in out and "whole_pixels: unset -> 1" in out
    assert thresholds(detector, capsys) == {**before, "box_threshold": 1.0, "whole_pixels": True}
    assert boxes(detector, page_folder, capsys) == 0
    assert [file.name for file in detector.parent.iterdir()] == [detector.name]


def test_an_onnx_file_carries_them_too(detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onnx import TensorProto, checker, helper, load, save

    card, _ = load_checkpoint(detector)
    value = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["maps"])], "g", [value],
                              [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1])])  # fmt: skip
    model = helper.make_model(graph)
    helper.set_model_props(model, {CARD_KEY: card.to_json(), "other": "kept"})
    (tmp_path / "bundle").mkdir()
    save(model, tmp_path / "bundle" / "base.onnx")
    assert run(["model", "set", str(tmp_path / "bundle"), "box_threshold=90%"]) == 0
    assert thresholds(tmp_path / "bundle" / "base.onnx", capsys)["box_threshold"] == 0.9
    again = load(tmp_path / "bundle" / "base.onnx")
    checker.check_model(again)
    assert again.graph == model.graph and [item.value for item in again.metadata_props if item.key == "other"] == [
        "kept"
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["box_treshold=0.5"], "did you mean"),
        (["distance=6"], "has no such threshold"),
        (["box_threshold=-1"], "expected a number >= 0"),
        (["box_threshold=inf"], "expected a number >= 0"),
        (["box_threshold=45"], "expected 0 to 1"),
        (["max_candidates=1.5"], "expected an integer"),
        (["whole_pixels=2"], "expected 0 or 1"),
        (["box_threshold"], "NAME=NUMBER"),
    ],
)
def test_what_is_no_threshold_is_refused_and_nothing_written(
    detector: Path, values: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = detector.read_bytes()
    assert run(["model", "set", str(detector), *values]) == 2
    assert said in capsys.readouterr().err.lower().replace("name=number", "NAME=NUMBER")
    assert detector.read_bytes() == before


def test_a_run_that_is_being_trained_is_left_alone(detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (detector.parent / "config.toml").touch()
    held = lock_run(detector.parent)
    assert run(["model", "set", str(detector), "box_threshold=0.5"]) == 2
    assert "is training there" in capsys.readouterr().err
    unlock(held)
    assert run(["model", "set", str(detector), "min_size=2.5"]) == 0


def test_of_a_link_the_model_itself_is_changed(detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = detector.with_name("current.ckpt")
    link.symlink_to(detector.name)
    assert run(["model", "set", str(link), "box_threshold=0.25"]) == 0
    assert link.is_symlink() and thresholds(detector, capsys)["box_threshold"] == 0.25


def test_a_recogniser_has_none(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "set", str(tiny_checkpoint), "box_threshold=0.5"]) == 2
    assert "is a recogniser" in capsys.readouterr().err


def test_info_says_of_a_detector_what_it_has_and_answers_to_show(
    detector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["model", "show", str(detector)]) == 0
    out = capsys.readouterr().out
    assert "charset" not in out and "labels" not in out
    assert "input: longer side" in out and f"box_threshold {thresholds(detector, capsys)['box_threshold']:g}" in out
    assert run(["profile", "info", "cpu"]) == 0 and run(["profile", "sho"]) == 2


@pytest.fixture
def recogniser(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_checkpoint, tmp_path / "words.ckpt"))


def test_a_recogniser_carries_its_ngram_model(
    recogniser: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*options: str) -> list[str]:
        capsys.readouterr()
        assert run(["predict", str(word_folder), "-m", str(recogniser), "--device", "cpu", "--json", *options]) == 0
        return [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]

    texts = tmp_path / "texts.txt"
    card, _ = load_checkpoint(recogniser)
    texts.write_text("".join(f"{one}\n" for one in ["ab"] * 40 + list(card.charset) * 10), "utf-8")
    plain, at_use = read(), read("--ngram", str(texts), "--ngram-weight", "9")
    assert at_use != plain
    assert run(["model", "set", str(recogniser), "--ngram", str(texts), "--ngram-weight", "9"]) == 0
    wanted = f"{len(card.charset) + 1} texts, weight 9"
    assert f"n-gram model: none -> {wanted}\n" in capsys.readouterr().out
    assert run(["model", "info", str(recogniser)]) == 0
    assert f"n-gram model: {wanted} (without: --ngram none)\n" in capsys.readouterr().out
    texts.unlink()  # the file holds them
    assert read() == at_use
    assert read("--decoding", "greedy") == plain and read("--ngram", "none") == plain
    assert run(["model", "set", str(recogniser), "--ngram-weight", "0.001"]) == 0
    assert read() != at_use and read("--ngram-weight", "9") == at_use
    assert run(["model", "set", str(recogniser), "--ngram", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["before"] == {
        "sources": [len(card.charset) + 1],
        "weight": 0.001,
    }
    assert read() == plain and load_checkpoint(recogniser)[0] == card


def test_an_exported_recogniser_reads_with_its_ngram_model(
    recogniser: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["model", "set", str(recogniser), "--ngram", str(word_folder), "--ngram", "english"]) == 0
    assert run(["export", str(recogniser), "-o", str(tmp_path / "out"), "--verify", str(word_folder)]) == 0
    assert run(["model", "info", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["card"]["ngram"]
    assert found["sources"][1] == "english" and set(found["sources"][0].values()) == {1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "model set: nothing to set."),
        (["--ngram-weight", "1"], "words.ckpt: it has no n-gram model, whose weight could be set."),
        (["--ngram", "english", "x=1"], "x=1: thresholds are those of a detector, --ngram that of a recogniser."),
        (["--ngram", "english", "--ngram", "none"], "--ngram none removes the n-gram model"),
        (
            ["--ngram", "english", "--ngram-weight", "11"],
            "--ngram-weight 11: expected a number above 0 and at most 10.",
        ),
        (["--ngram", "nowhere.txt"], "nowhere.txt: there is no such file for --ngram."),
        (["--ngram", "hangul.txt"], "hangul.txt: expected texts with characters of the model's charset, found none."),
        (["--ngram", "empty.txt"], "empty.txt: expected texts, found none."),
    ],
)
def test_ngram_models_that_are_refused(
    recogniser: Path, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(recogniser.parent)
    Path("hangul.txt").write_text("\uac00\ub098\n", "utf-8")
    Path("empty.txt").write_text("\n", "utf-8")
    before = recogniser.read_bytes()
    assert run(["model", "set", recogniser.name, *options]) in (2, 3)
    assert said in capsys.readouterr().err
    assert recogniser.read_bytes() == before


def test_a_detector_has_no_ngram_model(detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "set", str(detector), "--ngram", "english"]) == 2
    assert "is a detector; an n-gram model requires a recogniser" in capsys.readouterr().err
    assert run(["predict", str(detector), "-m", str(detector), "--ngram-weight", "1"]) == 2
    assert "is a detector; an n-gram model requires a recogniser" in capsys.readouterr().err


def test_a_model_whose_texts_it_cannot_read_any_more_reads_without_them(
    recogniser: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("abcdefghij\n" * 20 + "7\n", "utf-8")  # a digit, too rare to be known
    assert run(["model", "set", str(recogniser), "--ngram", "english", "--ngram", str(texts)]) == 0
    assert run(["model", "cut", str(recogniser), "--charset", "digits", "-o", str(tmp_path / "digits.ckpt")]) == 0
    assert run(["predict", str(word_folder), "-m", str(tmp_path / "digits.ckpt"), "--device", "cpu"]) == 0
