"""Whatever polygons and texts a set holds: one clean in place leaves no error, a second changes nothing, undo gives
back every byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrctl.core.dataset.clean import CleanOptions, clean_data, undo_clean
from ocrctl.core.dataset.validate import ValidateOptions, validate
from ocrctl.core.dataset.write_pages import write_pages
from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import DETECTION_FORMATS
from ocrctl.errors import InputError

coordinate = st.one_of(st.integers(-30, 130), st.floats(-30, 130, width=32), st.sampled_from([0, 60, 100, 59.9, 1e5]))
outline = st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=9)
near_edge = st.builds(
    lambda x, y, w, h: [(x, y), (x + w, y), (x + w, y + h), (x, y + h)],
    st.sampled_from([-40, -39.9, -38, 0, 98, 99.5, 99.99]), st.integers(-5, 58), st.just(40), st.integers(1, 20),
)  # fmt: skip
text = st.text(st.sampled_from("aB9 é\u0301\u0007\ufffd,\"'#表"), max_size=4)
pages = st.lists(
    st.lists(st.tuples(st.one_of(outline, near_edge), text, st.booleans()), max_size=4), min_size=1, max_size=3
)
FILES = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def annotations(folder: Path, content: list[list[tuple[list[tuple[float, float]], str, bool]]]) -> Annotations:
    """Pages 100 x 60 with these polygons, and one page that is whole."""
    builder = Builder(folder / "gt.txt", "paddleocr-det")
    builder.label_file("gt.txt")
    for number, instances in enumerate([*content, [([(10, 10), (50, 10), (50, 30), (10, 30)], "ok", False)]]):
        noise = np.random.default_rng(number).integers(0, 255, (60, 100), np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        image = builder.image(f"{number}.png", size=(100, 60))
        for points, label, ignored in instances:
            builder.add(image, [value for point in points for value in point], label, ignored)
    return builder.build(folder)


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", DETECTION_FORMATS)
def test_one_clean_is_enough(name: str) -> None:
    @FILES
    @given(pages)
    def check(content: list[list[tuple[list[tuple[float, float]], str, bool]]]) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            source, folder = Path(temporary) / "source", Path(temporary) / "set"
            source.mkdir()
            try:
                write_pages(annotations(source, content), name, folder, "dataset convert")
            except InputError:  # the format cannot hold such a text
                return
            spec = f"{name}:{folder}"
            before = state(folder)
            clean = CleanOptions(spec, clamp=True, repair=True, remove_bad=True)
            first = clean_data(clean)
            assert first.fatal == 0
            report, _, _ = validate(ValidateOptions(spec))
            assert report.errors == 0, report.codes
            after = state(folder)
            second = clean_data(clean)
            assert not second.actions and state(folder) == after, second
            if first.journal is not None:
                undo_clean(spec)
            assert state(folder) == before

    check()
