"""`dataset split` parts no image from itself, `dataset crop` teaches no placeholder, half a file is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_source


@pytest.mark.parametrize("words", [True, False])
def test_split_keeps_one_image_of_several_names_together(
    tmp_path: Path, words: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    body = "word" if words else '[{"transcription": "w", "points": [[2, 2], [50, 2], [50, 18], [2, 18]]}]'
    lines = []
    for number in range(20):
        buffer = io.BytesIO()
        Image.effect_noise((60, 20), 40 + number).convert("RGB").save(buffer, "JPEG")
        for copy in "abc":
            lines.append(f"{copy}_{number}.jpg\t{body}\n")
            (folder / lines[-1].partition("\t")[0]).write_bytes(buffer.getvalue())
    (folder / ("rec_gt.txt" if words else "Label.txt")).write_text("".join(lines))
    out = tmp_path / "out"
    assert run(["dataset", "split", str(folder), str(out), "--part", "a=0.5", "--part", "b=0.5"]) == 0
    assert "40 groups were merged with another group" in capsys.readouterr().err
    first, second = ({file.read_bytes() for file in (out / part).rglob("*.jpg")} for part in "ab")
    assert len(first) == len(second) == 10 and not first & second
    assert run(["dataset", "validate", str(out / "a"), "--against", str(out / "b")]) == 0


def test_crop_teaches_no_placeholder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.effect_noise((90, 60), 60).convert("RGB").save(tmp_path / "a.png")
    texts = ["TEMPORARY", "待识别", "a\x07b", "broken \ufffd", "straße", "good"]
    quads = [[[2, 2 + 9 * i], [80, 2 + 9 * i], [80, 9 + 9 * i], [2, 9 + 9 * i]] for i in range(len(texts))]
    items = [{"transcription": text, "points": quad} for text, quad in zip(texts, quads, strict=True)]
    (tmp_path / "Label.txt").write_text(f"a.png\t{json.dumps(items)}\n")
    out = tmp_path / "words"
    assert run(["dataset", "crop", str(tmp_path), str(out), "--format", "paddleocr-rec", "--json"]) == 0
    skipped = json.loads(capsys.readouterr().out)["skipped"]
    assert list(skipped.values()) == [4] and list(open_source(str(out)).labels) == ["straße", "good"]


def test_what_fits_no_format_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.json").write_text('{"a.jpg": {"img_dimensions": [1,')  # half of a file
    assert run(["dataset", "validate", str(tmp_path)]) == 3
    error = capsys.readouterr().err
    assert "no format fits labels.json" in error and "doctr-det" in error
    assert run(["dataset", "validate", f"doctr-det:{tmp_path}"]) == 3
    assert "labels.json:1: expected JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["only=1"], "at least two parts"),
        (["a=0", "b=1"], "a number above 0"),
        (["a=-1", "b=2"], "a number above 0"),
        (["a=inf", "b=1"], "a number above 0"),
        (["a=1e308", "b=1e308"], "at most 1e+09"),
        (["../out=0.5", "b=0.5"], "not a folder name"),
        (["/abs=0.5", "b=0.5"], "not a folder name"),
        (["val=abc", "b=1"], "expected NAME=SHARE"),
        (["a=0.8", "b=0.8"], "0.8 + 0.8 is more than 1"),
        (["a=0.5", "a=0.5"], "twice"),
    ],
)
def test_parts_that_are_no_parts_are_refused_before_anything_is_written(
    tmp_path: Path, parts: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(4):
        Image.effect_noise((60, 20), 40 + number).convert("RGB").save(folder / f"{number}.jpg")
    (folder / "rec_gt.txt").write_text("".join(f"{number}.jpg\tword\n" for number in range(4)))
    flags = [word for part in parts for word in ("--part", part)]
    assert run(["dataset", "split", str(folder), str(tmp_path / "out"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_seed_below_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "split", str(tmp_path), str(tmp_path / "out"), "--seed", "-1"]) == 2
    assert "--seed" in capsys.readouterr().err
