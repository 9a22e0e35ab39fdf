"""SROIE's layout: `box/*.csv` or `bbox/*.csv` beside `img/`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations

LINES = '72,25,326,25,326,64,72,64,TAN WOON YANN\r\n50,82,440,82,440,121,50,121,"BOOK", TA .K SDN\r\n'


@pytest.mark.parametrize("labels", ["box", "bbox"])
def test_it_is_told_read_and_written(tmp_path: Path, labels: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "set"
    for name, content in ((labels, LINES), (labels, "1,2,30,2,30,12,1,12,a\n"), ("img", ""), ("key", "")):
        (source / name).mkdir(parents=True, exist_ok=True)
        if content:
            (source / name / f"{len(content):03d}.csv").write_text(content)
            cv2.imwrite(str(tmp_path / f"{len(content):03d}.jpg"), np.full((200, 500, 3), 99, np.uint8))
            (source / "img").mkdir(exist_ok=True)
            (tmp_path / f"{len(content):03d}.jpg").rename(source / "img" / f"{len(content):03d}.jpg")
    (source / "key" / "000.json").write_text(json.dumps({"company": "BOOK TA .K", "total": "9.00"}))
    data = open_annotations(str(source))
    assert (data.format, Path(data.root)) == ("sroie", source / "img")
    assert data.texts == ["a", "TAN WOON YANN", '"BOOK", TA .K SDN'] and np.diff(data.offsets).tolist() == [4] * 3
    assert run(["dataset", "validate", str(source)]) in (0, 1) and "I001" not in capsys.readouterr().out
    out = tmp_path / "out"
    assert run(["dataset", "convert", str(source), str(out), "--format", "sroie"]) == 0
    assert sorted(path.parent.name for path in out.rglob("*.csv")) == ["box", "box"]
    assert open_annotations(str(out)).texts == data.texts
