"""Input that no recogniser can read well, for every recogniser: a defined result, or an error that names the cause."""

from __future__ import annotations

import csv
import json
import math
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, recognition_card
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import longest_label, output_steps
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec, specs
from ocrctl.text.charset import LOWER36

SIZES = ("-small", "-medium", "-tiny", "")
IMAGES = {"one column": (32, 1), "one row": (1, 40), "one pixel": (1, 1), "wide": (32, 4000), "vertical": (400, 20),
          "word": (32, 90)}  # fmt: skip
ONLY = {"train.max_steps": "1", "train.batch_size": "1", "train.threads": "1", "data.workers": "0", "log.previews": "0",
        "train.precision": "32-true"}  # fmt: skip


def smallest() -> list[str]:
    """Return the recognisers without the larger sizes of one that is listed: they differ in numbers alone."""
    found = []
    for name, spec in specs().items():
        base = next(name.removesuffix(size) for size in SIZES if name.endswith(size))
        tiny = f"{base}-tiny"
        if spec.task == "recognition" and (name == tiny or tiny not in specs()):
            found.append(name)
    return found


ARCHS = smallest()
pytestmark = pytest.mark.usefixtures("shallow_models")


def spec_of(arch: str) -> ModelSpec:
    """The spec that keeps the aspect ratio where there is one: its sizes are the more extreme ones."""
    spec = get_spec(arch)
    return spec.with_resize("keep") if "keep" in spec.resizes else spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def extremes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image for each of IMAGES."""
    random, images = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for name, (height, width) in IMAGES.items():
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(images / f"{name}.png"), image)
    return images


@cache
def untrained(arch: str) -> tuple[str, dict[str, torch.Tensor]]:
    """Card and weights of an untrained model; an autoregressive one never ends a text."""
    card = recognition_card(spec_of(arch), LOWER36)
    torch.manual_seed(0)
    state = {f"model.{name}": value for name, value in build_model(card).state_dict().items()}
    if spec_of(arch).tokenizer == "ar":
        state["model.head.bias"][0] = -1e4
    return card.to_json(), state


def checkpoint(arch: str, folder: Path, first: float | None = None, second: float | None = None) -> Path:
    """A checkpoint whose head has these biases of class 0, the blank or the end, and of the first character."""
    card, state = untrained(arch)
    name = next(name for name in state if name.endswith((".head.linear.bias", ".head.bias", ".fc.bias")))
    bias = state[name].clone()
    for index, value in enumerate((first, second)):
        if value is not None:
            bias[index] = value
    path = folder / f"{arch}.ckpt"
    torch.save({CARD_KEY: card, "state_dict": {**state, name: bias}}, path)
    return path


def predicted(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict], str]:
    """Run predict; returns exit code, JSON lines and what was said."""
    code = run(["predict", *map(str, arguments), "--json", "--device", "cpu"])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_every_recogniser_is_covered() -> None:
    families = {spec.family for spec in specs().values() if spec.task == "recognition"}
    assert families == {get_spec(arch).family for arch in ARCHS} and len(ARCHS) >= 10


@pytest.mark.parametrize("arch", ARCHS)
def test_images_of_extreme_sizes_have_texts_of_the_charset(
    arch: str, folder: Path, extremes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column, a row, a pixel, 4,000 columns and vertical text; greedy, by beam search, and with a lexicon of which
    the model knows one word."""
    model, spec = checkpoint(arch, folder), spec_of(arch)
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("ab\nÄb\n한글\n" + "a" * 500 + "\n", encoding="utf-8")
    greedy: list[str] = []
    searches = [("--decoding", "beam:1")] if spec.tokenizer == "ar" else []
    for arguments in ((), *searches, ("--decoding", "beam:2"), ("--lexicon", lexicon)):
        code, rows, err = predicted(capsys, extremes, "-m", model, "--characters", *arguments)
        assert code == 0 and len(rows) == len(IMAGES), err
        for row in rows:
            height, width = IMAGES[Path(row["path"]).stem]
            assert set(row["text"]) <= set(LOWER36) and 0 <= row["confidence"] <= 1
            assert "".join(one["text"] for one in row["characters"]) == row["text"]
            assert all(0 <= one["x"] <= width and 0 <= one["y"] <= height for one in row["characters"])
        texts = [row["text"] for row in rows]
        greedy = greedy or texts
        if spec.tokenizer == "ar":
            assert max(map(len, texts)) <= spec.max_label_length
        if spec.tokenizer == "ar" and arguments == ("--decoding", "beam:1"):
            assert max(map(len, texts)) == max(map(len, greedy)) == spec.max_label_length
            assert texts == greedy or "refine" in spec.options  # a search does not refine
        if "--lexicon" in arguments:
            assert set(texts) <= {"ab", ""} and "ab" in texts  # a column is too narrow for it under CTC
            assert "cannot read 2 with characters outside the charset (Ä글한) and 1 with more than" in err
    lexicon.write_text("Äb\n한글\n", encoding="utf-8")
    code, _, err = predicted(capsys, extremes, "-m", model, "--lexicon", lexicon)
    assert code == 3 and "expected words that the model can read: of 2, 2 with characters outside the charset" in err
    code, _, err = predicted(capsys, extremes, "-m", model, "--decoding", "beam:0")
    assert code == 2 and "decoding 'beam:0': expected beam:WIDTH" in err


@pytest.mark.parametrize("arch", ARCHS)
def test_blank_predictions_are_empty_texts_and_nan_is_an_error(
    arch: str, folder: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mute = checkpoint(arch, folder, first=1e4)
    for decoding in ("greedy", "beam:2"):
        code, rows, err = predicted(capsys, word_folder, "-m", mute, "--decoding", decoding, "--characters")
        assert code == 0 and [(row["text"], row["characters"]) for row in rows] == [("", [])] * 12
        assert "all 12 texts are empty: the recogniser reads nothing" in err
    assert run(["eval", str(mute), "-d", str(word_folder), "--json", "--device", "cpu"]) == 0
    metrics = json.loads(capsys.readouterr().out)["results"][0]["summary"]["metrics"]
    assert metrics["accuracy"]["value"] == 0 and metrics["cer"]["value"] == 1 and metrics["empty_rate"]["value"] == 1

    wrong = checkpoint(arch, folder, second=math.nan)
    for command in (["predict", str(word_folder), "-m", str(wrong)], ["eval", str(wrong), "-d", str(word_folder)]):
        assert run([*command, "--device", "cpu"]) == 3
        err = capsys.readouterr().err
        assert "1 of " in err and " weights hold NaN or infinite values, first " in err
    card, state = untrained(arch)
    huge = {name: value * 1e38 if ".head." in name or ".fc." in name else value for name, value in state.items()}
    huge = {name: value.clamp(-3e38, 3e38) if value.is_floating_point() else value for name, value in huge.items()}
    overflowing = folder / f"{arch}-huge.ckpt"
    torch.save({CARD_KEY: card, "state_dict": huge}, overflowing)
    for decoding in ("greedy", "beam:2"):
        code, rows, err = predicted(capsys, word_folder, "-m", overflowing, "--decoding", decoding)
        nonsense = "the model's logits hold" in err and "its results would be nonsense" in err
        assert (code == 3 and nonsense) or (code == 0 and all(0 <= row["confidence"] <= 1 for row in rows))


def labelled(folder: Path, *labels: str, width: int = 100, height: int = 32) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(len(labels)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    rows = [f"{number}.png\t{label}\n" for number, label in enumerate(labels)]
    (folder / "rec_gt.txt").write_text("".join(rows), encoding="utf-8")
    return folder


def train(arch: str, data: Path, out: Path) -> int:
    sets = [word for name, value in ONLY.items() for word in ("--set", f"{name}={value}")]
    sets += ["--set", f"model.resize={spec_of(arch).resize}"]
    return run(["train", arch, "-d", str(data), "--val", str(data), "-o", str(out), "--charset", "lower36", *sets])


@pytest.mark.parametrize("arch", ARCHS)
def test_labels_that_cannot_be_learnt_are_named_before_training(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "long" / "rec_gt.txt"
    for name, label, reason in (
        ("empty", "", "1 with empty label, such as"),
        ("unknown", "Äb한", "1 with unknown characters ('Ä' x1, '한' x1), such as"),
        (
            "long",
            "ab" * 500,
            f"1 with label too long, such as {place}:3 (2.png): '{'ab' * 30}'...",
        ),
    ):
        data = labelled(tmp_path / name, "abc", "b", label)
        assert train(arch, data, tmp_path / f"run-{name}") == 3
        err = capsys.readouterr().err
        assert err.startswith(f"error: {data / 'rec_gt.txt'}: of 3 samples, ") and reason in err
        assert "would leave such samples out" in err and not (tmp_path / f"run-{name}").exists()
    every = labelled(tmp_path / "nothing", "", "")
    assert run(["train", arch, "-d", str(every), "--set", "data.bad_labels=skip", "-o", str(tmp_path / "none")]) == 3
    assert "no sample remains to train on" in capsys.readouterr().err


@pytest.mark.parametrize("arch", ARCHS)
def test_labels_of_the_maximum_length_and_extreme_images_are_trained_on(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of(arch)
    length = longest_label(spec) if spec.tokenizer == "ar" else min(spec.max_label_length, output_steps(spec))
    label = (LOWER36 * 20)[:length]
    width = spec.input_width * (2 if spec.keeps_aspect else 1)  # beyond the maximum, too
    data = labelled(tmp_path / "longest", label, width=width, height=spec.input_height)
    assert train(arch, data, tmp_path / "run") == 0
    assert train(arch, labelled(tmp_path / "column", "a", width=1), tmp_path / "narrow") == 0
    for out in ("run", "narrow"):
        rows = list(csv.DictReader((tmp_path / out / "metrics.csv").open()))
        assert [row["step"] for row in rows] == ["1", "1"] and math.isfinite(float(rows[0]["loss"]))
        assert 0 < float(rows[0]["loss"]) < 1e4
    capsys.readouterr()
    assert train(arch, labelled(tmp_path / "longer", label + "a", "a", "b", width=width), tmp_path / "more") == 3
    err = capsys.readouterr().err
    assert "1 with label too long" in err or "1 with label that needs more output steps than the model has" in err
