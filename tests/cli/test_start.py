"""Small commands start quickly because they import nothing that they do not use (benchmarks/start_speed.py)."""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

MODEL = Path(__file__).parents[1] / "fixtures" / "v0_1" / "crnn-tiny.onnx.xz"
UNUSED = ("torch", "lightning", "pydantic", "rich", "importlib.metadata", "numpy.ma", "tomllib", "PIL", "lxml", "onnx")
SEARCHES = ("ocrctl.text.ctc_beam_search", "ocrctl.text.lexicon", "ocrctl.text.ngram")


def imported(arguments: list[str]) -> list[str]:
    """The modules that a command line has imported, which must succeed."""
    code = (
        "import sys; from ocrctl.cli.app import run; code = run(sys.argv[1:]); "
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    for number in range(3):
        image = np.full((32, 100, 3), 40 * number, np.uint8)
        cv2.putText(image, str(number), (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    (tmp_path / "rec_gt.txt").write_text("".join(f"{number}.png\t{number}\n" for number in range(3)))
    return tmp_path


def test_predict_of_words_imports_only_its_needs(words: Path):
    model = words / "model.onnx"
    model.write_bytes(lzma.decompress(MODEL.read_bytes()))
    found = imported(["predict", str(words / "1.png"), "-m", str(model)])
    assert "onnxruntime" in found and "ocrctl.cli.predict" in found
    assert not set(found) & {*UNUSED, *SEARCHES, "shapely", "zipfile", "ocrctl.data.formats", "ocrctl.cli.train"}


def test_predict_of_a_page_imports_only_its_needs(words: Path):
    page = np.full((64, 320, 3), 255, np.uint8)
    cv2.putText(page, "two words", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    cv2.imwrite(str(words / "page.png"), page)
    found = imported(["predict", str(words / "page.png")])
    assert "shapely" in found and "ocrctl.inference.reading_order" in found
    needed = {"tomllib"}  # the manifest of the default models
    assert not set(found) & {*UNUSED, *SEARCHES, "zipfile", "ocrctl.data.formats", "ocrctl.cli.train"} - needed


def test_validate_of_words_imports_only_its_needs(words: Path):
    found = imported(["dataset", "validate", str(words)])
    assert "shapely" in found and "ocrctl.cli.dataset_validate" in found
    assert not set(found) & {*UNUSED, "onnxruntime", "ocrctl.cli.train", "ocrctl.cli.dataset_convert"}
