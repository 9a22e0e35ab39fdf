"""`ocrctl eval`: numbers that can be worked out again, several models on the same samples, gates and the report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.data.images.decode import decode

Json = dict[str, object]


@pytest.fixture(scope="module")
def labelled(tiny_checkpoint: Path, word_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn words, two thirds labelled with what the model reads there, so that scores are neither 0 nor 1."""
    folder = tmp_path_factory.mktemp("labelled")
    engine = Engine.load(tiny_checkpoint, device="cpu")
    rows = []
    for number, path in enumerate(sorted(word_folder.glob("*.png"))):
        (folder / path.name).write_bytes(path.read_bytes())
        text = engine.recognize([decode(path.read_bytes(), path.name)])[0].text
        label = text.upper() if number % 3 == 0 else text if number % 3 == 1 else f"É{text}<b>&"
        rows.append(f"{path.name}\t{label or 'x'}\n")
    (folder / "rec_gt.txt").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def second_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with another head: it reads something else."""
    import torch

    raw = torch.load(tiny_checkpoint, weights_only=True)
    generator = torch.Generator().manual_seed(1)
    weight = raw["state_dict"]["model.head.linear.weight"]
    weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=generator)
    folder = tmp_path_factory.mktemp("runs") / "other"
    folder.mkdir()
    torch.save(raw, folder / "best.ckpt")
    return folder


def evaluate(*arguments: object) -> int:
    return run(["eval", *map(str, arguments), "--device", "cpu"])


def evaluate_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    evaluate(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_numbers_can_be_worked_out_from_predict(
    tiny_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(labelled), "-m", str(tiny_checkpoint), "--json", "--device", "cpu"]) == 0
    read = {Path(row["path"]).name: row["text"] for row in map(json.loads, capsys.readouterr().out.splitlines())}
    truth = dict(line.split("\t") for line in (labelled / "rec_gt.txt").read_text("utf-8").splitlines())
    hits = sum(read[name] == text for name, text in truth.items())
    folded = {name: re.sub("[^0-9a-z]", "", text.lower()) for name, text in truth.items()}
    folded_hits = sum(re.sub("[^0-9a-z]", "", read[name].lower()) == text for name, text in folded.items() if text)

    result = evaluate_json(capsys, tiny_checkpoint, "-d", labelled)
    exact, str36 = result["results"]  # type: ignore[misc]
    assert exact["summary"]["metrics"]["accuracy"]["value"] == pytest.approx(hits / 12)
    assert str36["summary"]["metrics"]["accuracy"]["value"] == pytest.approx(
        folded_hits / sum(map(bool, folded.values()))
    )
    assert 0 < hits < 12 and folded_hits > hits
    for metric in exact["summary"]["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"]


def test_characters_outside_the_charset_are_counted_and_stay_in(
    tiny_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate_json(capsys, tiny_checkpoint, "-d", labelled, "--protocol", "exact", "--protocol", "str36")
    by_protocol = {item["protocol"]: item for item in result["unknown"]}  # type: ignore[attr-defined]
    assert by_protocol["exact"]["counts"]["É"] == 4
    assert "str36" not in by_protocol  # lower-case and digits suffice there
    assert result["results"][0]["summary"]["samples"] == 12  # type: ignore[index]
    assert evaluate(tiny_checkpoint, "-d", labelled) == 0
    assert "'É' x 4" in capsys.readouterr().err


def test_several_models_and_data_sets(
    tiny_checkpoint: Path,
    second_checkpoint: Path,
    labelled: Path,
    word_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = evaluate_json(capsys, tiny_checkpoint, second_checkpoint, "-d", labelled, "-d", word_folder)
    keys = [(row["model"], row["dataset"], row["summary"]["protocol"]) for row in result["results"]]  # type: ignore[attr-defined]
    assert len(keys) == len(set(keys)) == 2 * 3 * 2
    rows = dict(zip(keys, result["results"], strict=True))  # type: ignore[arg-type]
    for pair in result["differences"]:  # type: ignore[attr-defined]
        assert (pair["before"], pair["after"]) == (str(tiny_checkpoint), str(second_checkpoint))
        one, two = (
            rows[pair[which], pair["dataset"], pair["protocol"]]["summary"]["metrics"]["cer"]["value"]
            for which in ("before", "after")
        )
        assert pair["metrics"]["cer"]["value"] == pytest.approx(two - one)
        assert pair["metrics"]["cer"]["low"] <= two - one <= pair["metrics"]["cer"]["high"]
    assert {row["dataset"] for row in result["results"]} == {labelled.name, word_folder.name, "all"}  # type: ignore[attr-defined]


def test_the_same_model_twice_has_no_difference(
    tiny_checkpoint: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(tiny_checkpoint.read_bytes())
    result = evaluate_json(capsys, tiny_checkpoint, copy, "-d", labelled)
    for pair in result["differences"]:  # type: ignore[attr-defined]
        for metric in pair["metrics"].values():
            assert (metric["value"], metric["low"], metric["high"]) == (0, 0, 0)
    assert evaluate(tiny_checkpoint, tiny_checkpoint, "-d", labelled) == 2
    assert "given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gate", "code"),
    [("exact=0.1", 0), ("exact=90%", 1), ("exact.cer=1000%", 0), ("cer=0.0001", 1), ("1-ned=0", 0), ("empty=1", 0)],
)
def test_fail_under(
    tiny_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str], gate: str, code: int
) -> None:
    assert evaluate(tiny_checkpoint, "-d", labelled, "--fail-under", gate, "--bootstrap", 0) == code
    assert ("is required" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--fail-under", "exakt=1"], 2, "Did you mean 'exact'?"),
        (["--fail-under", "exact=high"], 2, "expected METRIC=NUMBER"),
        (["--protocol", "str63"], 2, "Did you mean 'str36'?"),
        (["--set", "synth.style=scene"], 2, "not among the data"),
    ],
)
def test_wrong_options(
    tiny_checkpoint: Path,
    labelled: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert evaluate(tiny_checkpoint, "-d", labelled, *arguments) == code
    assert message in capsys.readouterr().err


def test_unreadable_samples_are_listed_and_exit_1(
    tiny_checkpoint: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in labelled.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "03.png").write_bytes(b"junk")
    assert evaluate(tiny_checkpoint, "-d", tmp_path, "--json") == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["datasets"][0]["samples"] == 11 and result["datasets"][0]["unreadable"] == 1
    assert result["results"][0]["summary"]["samples"] == 11
    assert "03.png" in err
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"junk")
    assert evaluate(tiny_checkpoint, "-d", tmp_path) == 3


def test_limit_and_synthetic_words(tiny_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluate_json(capsys, tiny_checkpoint, "-d", labelled, "--limit", 5, "--worst", 3)
    assert result["datasets"][0]["samples"] == 5 and len(result["worst"]) <= 3  # type: ignore[index,arg-type]
    first = evaluate_json(capsys, tiny_checkpoint, "-d", "synth:words", "--limit", 20, "--set", "synth.max_length=5")
    again = evaluate_json(capsys, tiny_checkpoint, "-d", "synth:words", "--limit", 20, "--set", "synth.max_length=5")
    other = evaluate_json(capsys, tiny_checkpoint, "-d", "synth:words", "--limit", 20, "--seed", 1)
    assert first["results"] == again["results"] and first["worst"] == again["worst"]
    assert first["worst"] != other["worst"]
    assert max(len(row["truth"]) for row in first["worst"]) <= 5  # type: ignore[attr-defined]
    assert first["unknown"] == []  # words are drawn from what the model can write


class _Page(HTMLParser):
    """Collects what a report consists of, and every reference that leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.outside: list[str] = []
        self.text = ""
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            if name in ("src", "href") and value and not value.startswith("data:"):
                self.outside.append(value)
            if tag == "img" and name == "src" and value:
                self.images.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_is_one_file_with_images_and_escaped_labels(
    tiny_checkpoint: Path, second_checkpoint: Path, labelled: Path, tmp_path: Path
) -> None:
    import base64

    report = tmp_path / "new" / "report.html"
    assert evaluate(tiny_checkpoint, second_checkpoint, "-d", labelled, "--report", report, "--worst", 4) == 0
    html = report.read_text("utf-8")
    page = _Page()
    page.feed(html)
    assert page.outside == [] and "http" not in html.split("</style>")[1]
    assert "<b>&" not in html  # a label that looks like markup
    assert page.counts["article"] == len(page.images) and 0 < page.counts["article"] <= 8
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(page.images[0].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None and pixels.shape[0] <= 160
    for heading in ("Results", "Paired differences", "By length", "Characters outside the charset", "Worst samples"):
        assert heading in page.text
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]


def test_intervals_can_be_left_out(tiny_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluate_json(capsys, tiny_checkpoint, "-d", labelled, "--bootstrap", 0)
    assert result["results"][0]["summary"]["metrics"]["accuracy"]["low"] is None  # type: ignore[index]


def test_the_table_says_which_model_is_subtracted_and_which_sign_is_better(
    tiny_checkpoint: Path, second_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(second_checkpoint, tiny_checkpoint, "-d", labelled, "--protocol", "exact") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    [head] = [row for row in rows if "later - earlier" in row[0]]
    assert head[3:] == ["accuracy (+ better)", "CER (- better)", "1-NED (+ better)", "empty (- better)"]
    row = rows[rows.index(head) + 1]
    assert row[0] == f"{tiny_checkpoint} - {second_checkpoint}"
    assert row[3].startswith("+") and row[4].startswith("-")  # the labels are what the later model reads


def test_models_are_named_as_they_were_typed(
    tiny_checkpoint: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "best.ckpt").write_bytes(tiny_checkpoint.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert evaluate("./runs/mine/", "-d", labelled, "--fail-under", "exact=99%") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("./runs/mine/\t") and "failed: ./runs/mine/: exact" in err
    assert evaluate("runs/mine", "./runs/mine/best.ckpt", "-d", labelled) == 2
    assert "given twice" in capsys.readouterr().err


def test_lengths_and_most_of_the_worst_samples_are_printed_on_request(
    tiny_checkpoint: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_checkpoint, "-d", labelled) == 0
    out, err = capsys.readouterr()
    assert "length (exact)" not in out and "accuracy by length, 3 more of the worst samples (--details" in err
    assert len(out.split("ground truth")[1].splitlines()) == 1 + 5
    assert evaluate(tiny_checkpoint, "-d", labelled, "--details") == 0
    out, err = capsys.readouterr()
    assert "length (exact)" in out and "not shown" not in err
    assert len(out.split("ground truth")[1].splitlines()) == 1 + 8
