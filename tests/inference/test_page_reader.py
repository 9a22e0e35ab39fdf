"""Pages read by two models: each outline by its own crop, tall ones whichever way round, batches across pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl import Engine, PageReader
from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.data.images.rectify import crop
from ocrctl.errors import UsageError
from ocrctl.inference.engine import Character, Recognition
from ocrctl.models.outlines.detections import NO_DETECTIONS, Detections


class Corner(Engine):
    """A recogniser whose text is the size of the image, the surer the brighter its top left corner is."""

    def __init__(self, tall: float = 0.0) -> None:
        self.card = SimpleNamespace(  # type: ignore[assignment]
            task="recognition", arch="corner", kept=KeptAspect(8, 640, tall=tall) if tall else None
        )
        self.path, self.seen = Path("corner"), 0

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return image

    def recognize_prepared(
        self, images: Sequence[np.ndarray] | np.ndarray, batch_size: int = 64, *, characters: bool = False
    ) -> list[Recognition]:
        self.seen += len(images)
        return [Recognition(f"{view.shape[1]}x{view.shape[0]}", float(view[0, 0, 0]) / 255) for view in images]


def reader(recogniser: object) -> PageReader:
    detector = SimpleNamespace(card=SimpleNamespace(task="detection", arch="none"), path="none")
    return PageReader(detector, recogniser)  # type: ignore[arg-type]


def quads(*corners: list[tuple[float, float]]) -> Detections:
    return Detections.from_quads(np.array(corners, float).reshape(-1, 4, 2), np.ones(len(corners)))


def upright(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.fixture
def pages(page_folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in sorted(page_folder.glob("*.png"))]


def test_each_outline_is_read_from_its_own_crop(
    tiny_detector: Path, tiny_checkpoint: Path, pages: list[np.ndarray]
) -> None:
    detector, recogniser = Engine.load(tiny_detector, device="cpu"), Engine.load(tiny_checkpoint, device="cpu")
    noise = np.random.default_rng(5)
    for page in pages:  # or every bar would read the same; red stays what it is to the detector
        page[::3, :, :] = np.clip(page[::3, :, :].astype(int) + noise.integers(-9, 9, page[::3].shape), 0, 255)
    read = PageReader(detector, recogniser).read(pages)
    assert [len(page.words) for page in read] == [2, 2, 2, 0]
    for image, page, found in zip(pages, read, detector.detect(pages), strict=True):
        np.testing.assert_array_equal(page.found.points, found.points)
        crops = [crop(image, found.polygon(i).astype(np.float64)) for i in range(len(found))]
        for word, (alone,) in zip(page.words, (recogniser.recognize([flat]) for flat in crops), strict=True):
            assert word.text == alone.text and word.confidence == pytest.approx(alone.confidence, rel=1e-3)
    together = PageReader(detector, recogniser).read(pages, batch_size=3)
    assert [[word.text for word in page.words] for page in together] == [[w.text for w in page.words] for page in read]


def test_words_of_several_pages_share_a_pass(
    tiny_detector: Path, tiny_checkpoint: Path, pages: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, recogniser = Engine.load(tiny_detector, device="cpu"), Engine.load(tiny_checkpoint, device="cpu")
    sizes: list[int] = []
    plain = recogniser.recognize_prepared
    monkeypatch.setattr(
        recogniser, "recognize_prepared", lambda batch, size, **named: sizes.append(len(batch)) or plain(batch, size)
    )
    PageReader(detector, recogniser).read(pages)
    assert sizes == [6]
    sizes.clear()
    many = quads(*[upright(0, y, 60, y + 20) for y in range(90)])
    (words,) = PageReader(detector, recogniser).words([(pages[0], many)])
    assert len(words) == 90 and sizes == [64, 26]


@pytest.mark.parametrize(
    ("corner", "text"),
    [((20, 10), "20x60"), ((39, 10), "60x20"), ((20, 69), "60x20")],
    ids=["upright", "running down", "running up"],
)
def test_a_tall_word_is_read_the_way_that_is_surest(corner: tuple[int, int], text: str) -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    image[corner[1], corner[0]] = 255  # of a text that runs down, the top left is the top right of its outline
    recogniser = Corner()
    (((word,)),) = reader(recogniser).words([(image, quads(upright(20, 10, 40, 70)))])
    assert (word.text, word.confidence, recogniser.seen) == (text, 1.0, 3)
    recogniser = Corner(tall=1.5)
    (alone,) = recogniser.recognize([image[10:70, 20:40]])  # the same by the card of the recogniser
    assert (alone.text, recogniser.seen) == (text, 3)
    image[:] = 0  # all alike: as it stands
    (((word,)),) = reader(recogniser).words([(image, quads(upright(20, 10, 40, 70)))])
    assert word.text == "20x60"


def test_what_is_not_tall_is_read_once() -> None:
    recogniser = Corner()
    (words,) = reader(recogniser).words([(np.zeros((80, 80, 3), np.uint8), quads(upright(5, 5, 45, 64)))])
    assert [word.text for word in words] == ["40x59"] and recogniser.seen == 1


def test_an_outline_without_area_has_an_empty_text_in_its_place() -> None:
    image = np.zeros((40, 90, 3), np.uint8)
    point, line = [(7.0, 7.0)] * 4, [(0.0, 5.0), (50.0, 5.0), (50.0, 5.2), (0.0, 5.2)]
    (words, none) = reader(Corner()).words([(image, quads(point, upright(0, 0, 50, 20), line)), (image, NO_DETECTIONS)])
    assert [(word.text, word.confidence) for word in words] == [("", 0.0), ("50x20", 0.0), ("", 0.0)] and none == []


def test_polygons_are_read_from_the_rectangle_around_them() -> None:
    """An outline of a region starts anywhere, so its first points say nothing of where the text begins."""
    image = np.zeros((60, 90, 3), np.uint8)
    image[10, 10] = 255
    outline = np.array([(40, 10), (70, 10), (70, 30), (40, 30), (10, 30), (10, 10)], float)
    for start in range(6):
        found = Detections.from_polygons([np.roll(outline, start, axis=0)], np.ones(1))
        (((word,)),) = reader(Corner()).words([(image, found)], polygons=True)
        assert (word.text, word.confidence) == ("60x20", 1.0)


class Spot(Corner):
    """A recogniser that reads one character, where the image is brightest, with confidence in one orientation only."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def recognize_prepared(
        self, images: Sequence[np.ndarray] | np.ndarray, batch_size: int = 64, *, characters: bool = False
    ) -> list[Recognition]:
        found = []
        for number, view in enumerate(images):
            y, x = np.unravel_index(view[..., 0].argmax(), view.shape[:2])
            spot = Character("a", 0.5, (x + 0.5) / view.shape[1], (y + 0.5) / view.shape[0])
            found.append(Recognition("a", float(number == self.turns), (spot,) if characters else None))
        return found


@pytest.mark.parametrize("turns", [0, 1, 2])
@pytest.mark.parametrize(
    "quad",
    [
        [(10, 5), (40, 5), (40, 75), (10, 75)],
        [(12, 5), (44, 9), (36, 76), (8, 70)],
        [(40, 75), (10, 75), (10, 5), (40, 5)],
    ],
    ids=["upright", "skewed", "upside down"],
)
def test_characters_lie_on_the_page_however_a_word_is_read(quad: list[tuple[float, float]], turns: int) -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    image[50:53, 20:23] = 90
    image[51, 21] = 255
    (((word,)),) = reader(Spot(turns)).words([(image, quads(quad))], characters=True)
    assert word.characters is not None
    ((_, confidence, x, y),) = word.characters
    assert confidence == 0.5 and abs(x - 21.5) < 1.2 and abs(y - 51.5) < 1.2
    (words,) = reader(Spot(turns)).words([(image, quads([(7.0, 7.0)] * 4))], characters=True)
    assert words == [Recognition("", 0.0, ())]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(-99, 199), st.floats(-99, 199)), min_size=4, max_size=4), min_size=0, max_size=4
    ),
    st.booleans(),
)
def test_any_outlines_have_a_word_each(corners: list[list[tuple[float, float]]], polygons: bool) -> None:
    (words,) = reader(Corner()).words([(np.full((50, 70, 3), 9, np.uint8), quads(*corners))], polygons)
    assert len(words) == len(corners)


def test_tasks_are_not_mixed_up(tiny_detector: Path, tiny_checkpoint: Path) -> None:
    detector, recogniser = Engine.load(tiny_detector, device="cpu"), Engine.load(tiny_checkpoint, device="cpu")
    with pytest.raises(UsageError, match="crnn-tiny reads words; expected a model that finds text on pages"):
        PageReader(recogniser, detector)
    with pytest.raises(UsageError, match="dbnet finds text on pages; expected a model that reads words"):
        PageReader(detector, detector)
