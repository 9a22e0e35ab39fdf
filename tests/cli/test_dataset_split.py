"""`dataset split` parts no picture from itself."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from ocrctl.cli.app import run


@pytest.mark.parametrize("words", [True, False])
def test_split_keeps_one_picture_of_several_names_together(
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
    assert "40 groups go with another one" in capsys.readouterr().err
    first, second = ({file.read_bytes() for file in (out / part).rglob("*.jpg")} for part in "ab")
    assert len(first) == len(second) == 10 and not first & second
    assert run(["dataset", "validate", str(out / "a"), "--against", str(out / "b")]) == 0
