"""Synthetic pages: the same anywhere, outlines on the ink to the pixel, splits apart, every kind, readable as files."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.core.dataset.synth_pages import write_pages
from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images import Image, Mask
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.polygons.rules import check_polygons
from ocrctl.data.synth.pages import stream as stream_module
from ocrctl.data.synth.pages.canvas import Canvas
from ocrctl.data.synth.pages.config import KINDS, SynthPagesConfig
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.data.synth.pages.word_mark import Style
from ocrctl.data.synth.words.labels import split_key
from ocrctl.errors import InputError, UsageError

ONLY = {kind: tuple(float(kind == other) for other in KINDS) for kind in KINDS}


@pytest.fixture
def ink_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that show nothing but ink, white on black, as it was before any wear."""

    def lay_on(self: Canvas, part: Image, seen: Mask, style: Style) -> None:
        if self.contrasts == []:
            self.image[:] = 0
            self.contrasts.append(100.0)
        np.maximum(part, seen[:, :, None], out=part)

    monkeypatch.setattr(Canvas, "_lay_on", lay_on)
    monkeypatch.setattr(Canvas, "cover", lambda *_: None)
    monkeypatch.setattr(stream_module, "degrade", lambda image, *_: image)


def straight(words: PageWords, index: int, image: Image, quad: np.ndarray) -> np.ndarray:
    """What stands within a quad, as an upright image at twice its size."""
    width = 2 * round(float(np.hypot(*(quad[1] - quad[0]))))
    height = 2 * round(float(np.hypot(*(quad[3] - quad[0]))))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32) - np.float32(0.5), corners)
    return cv2.warpPerspective(image[:, :, 0], matrix, (max(1, width), max(1, height)))


def extent(ink: np.ndarray) -> float:
    """Share of an image that the box around its ink has."""
    rows, columns = np.flatnonzero(ink.max(1) > 100), np.flatnonzero(ink.max(0) > 100)
    if not len(rows):
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / ink.size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("ink_only")
def test_outlines_hold_the_ink_and_little_else(kind: str) -> None:
    stream = SynthPages(SynthPagesConfig(seed=5, weights=ONLY[kind], curved=0.4, textless=0.0, smallest=0.0))
    shares, bows, held, total = [], 0, 0.0, 0.0
    for index in range(8):
        image, words = stream.sample(index)
        covered = np.zeros(image.shape[:2], np.uint8)
        cells = np.zeros(image.shape[:2], np.uint8)
        for i in range(len(words)):
            polygon = words.polygon(i)
            cv2.fillPoly(covered, [np.round((polygon - 0.5) * 16).astype(np.int32)], 1, shift=4)
            bows += len(polygon) == 14
            if len(polygon) == 4 and words.texts[i] and words.heights()[i] > 14:
                shares.append(extent(straight(words, i, image, polygon)))
        for quad in words.characters:
            cv2.fillPoly(cells, [np.round((quad - 0.5) * 16).astype(np.int32)], 1, shift=4)
        ink = image[:, :, 0].astype(np.float64)
        assert ink[covered == 0].sum() <= 0.01 * ink.sum()
        whole = covered * (cv2.dilate(cells, np.ones((3, 3), np.uint8)) > 0)
        held, total = held + (ink * whole).sum(), total + ink.sum()
    assert np.mean(shares) > 0.85 and np.percentile(shares, 5) > 0.7
    assert held > 0.98 * total
    assert bows > 4 or kind != "scene"


@pytest.mark.usefixtures("ink_only")
def test_each_character_lies_in_its_own_quad() -> None:
    stream = SynthPages(SynthPagesConfig(seed=6, weights=ONLY["form"], textless=0.0, smallest=0.0))
    image, words = stream.sample(3)
    counted = 0
    for i, text in enumerate(words.texts):
        quads = words.characters[words.character_offsets[i] : words.character_offsets[i + 1]]
        if not text:
            continue
        assert len(quads) == len(text)
        along = (words.polygon(i)[1] - words.polygon(i)[0]) @ (quads.mean(1) - words.polygon(i)[0]).T
        assert (np.diff(along) > 0).all()  # in the order of reading
        for quad in quads:
            counted += 1
            assert straight(words, i, image, quad).max() > 40
    assert counted > 100


def test_a_page_is_a_function_of_settings_and_number() -> None:
    stream = SynthPages(SynthPagesConfig(seed=2))
    again = pickle.loads(pickle.dumps(stream))
    backwards = [again.sample(n) for n in (9, 4, 0)]
    for (image, words), n in zip(backwards, (9, 4, 0), strict=True):
        other, same = stream.sample(n)
        np.testing.assert_array_equal(image, other)
        np.testing.assert_array_equal(words.points, same.points)
        assert words.texts == same.texts and image.shape == (640, 640, 3) and image.dtype == np.uint8
    assert not np.array_equal(stream.sample(0)[0], SynthPages(SynthPagesConfig(seed=3)).sample(0)[0])


def test_splits_share_no_word_of_three_letters() -> None:
    seen = {}
    for split in ("train", "val"):
        stream = SynthPages(SynthPagesConfig(seed=1, split=split, weights=(0.1, 0.3, 0.3, 0.3)))  # type: ignore[arg-type]
        texts = [text for n in range(10) for text in stream.sample(n)[1].texts]
        seen[split] = {split_key(text) for text in texts if len(split_key(text)) > 2}
    assert len(seen["val"]) > 150 and not seen["train"] & seen["val"]


def test_polygons_break_no_rule_and_low_words_are_ignored() -> None:
    stream = SynthPages(SynthPagesConfig(seed=4))
    bare = 0
    for n in range(16):
        image, words = stream.sample(n)
        bare += len(words) == 0
        sizes = np.full(len(words), float(image.shape[1])), np.full(len(words), float(image.shape[0]))
        if len(words):
            findings = check_polygons(words.points, words.offsets, *sizes)
            # steep words begin where they are read, not at the top left
            assert {hits.code.name for hits in findings.sorted()} <= {"start-not-top-left", "tiny"}, n
        assert words.ignore[words.heights() < 6.0].all()
        assert np.isfinite(words.characters).all()


def test_every_kind_is_drawn_and_some_pages_are_bare() -> None:
    stream = SynthPages(SynthPagesConfig(seed=8, height=96, width=128, textless=0.3))
    drawn = [stream.sample_details(n) for n in range(24)]
    assert {kind for _, _, kind in drawn} == set(KINDS)
    assert sum(len(words) == 0 for _, words, _ in drawn) >= 2
    assert all(image.shape == (96, 128, 3) for image, _, _ in drawn)


def test_strength_zero_is_flat_and_upright() -> None:
    stream = SynthPages(SynthPagesConfig(seed=8, strength=0.0, weights=ONLY["paper"], textless=0.0))
    _, words = stream.sample(0)
    whole = [words.polygon(i) for i, text in enumerate(words.texts) if text]
    assert max(float(np.ptp(polygon[:2, 1])) for polygon in whole) < 1e-6


def test_hangul_and_own_words(tmp_path: Path) -> None:
    _, words = SynthPages(SynthPagesConfig(seed=1, scripts=("hangul",))).sample(1)
    assert any("\uac00" <= char <= "\ud7a3" for text in words.texts for char in text)
    (tmp_path / "words.txt").write_text("zyzzyva\nquokka\n")
    config = SynthPagesConfig(seed=1, words=str(tmp_path / "words.txt"), textless=0.0)
    texts = {text.lower() for n in range(4) for text in SynthPages(config).sample(n)[1].texts}
    assert {"zyzzyva", "quokka"} & texts


def test_photographs_stand_behind_the_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images found"):
        [SynthPages(SynthPagesConfig(backgrounds=str(tmp_path))).sample(n) for n in range(8)]
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "green.png"), np.full((90, 160, 3), (10, 250, 10), np.uint8))
    config = SynthPagesConfig(seed=1, backgrounds=str(folder), weights=ONLY["scene"], strength=0.0)
    green = [
        (image[:, :, 1].astype(int) - image[:, :, 0] > 200).mean()
        for image, _ in map(SynthPages(config).sample, range(8))
    ]
    assert 1 <= sum(share > 0.3 for share in green) <= 7
    (folder / "green.png").write_bytes(b"\x89PNG no picture")
    from ocrctl.data.synth.pages.background import photographs

    photographs.cache_clear()
    with pytest.raises(InputError, match="green.png"):
        [SynthPages(config).sample(n) for n in range(8)]


@pytest.mark.parametrize(
    "wrong",
    [{"height": 0, "width": 640}, {"height": 32, "width": 32}, {"height": 5000, "width": 640},
     {"weights": (0, 0, 0, 0)}, {"curved": 2.0}, {"scripts": ("klingon",)}, {"longest": (900, 100)}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SynthPagesConfig(**wrong)  # type: ignore[arg-type]


def test_files_read_back_with_their_characters(tmp_path: Path) -> None:
    report = write_pages(tmp_path / "out", 5, [], ["seed=3"], unseen=True)
    data = open_annotations(str(tmp_path / "out"))
    assert data.format == "words-json" and len(data.images) == 5 and len(data) == report.words
    source = PageSource(data)
    characters = 0
    for n in range(5):
        image, words = source.page(n)
        assert image.shape[:2] == tuple(data.sizes[n][::-1])
        characters += len(words.characters)
        for i, text in enumerate(words.texts):
            count = int(np.diff(words.character_offsets)[i])
            assert count == len(text) or not text
    assert characters == report.characters > 100
    assert sum(report.kinds.values()) == 5 and not (tmp_path / "out.partial").exists()
    with pytest.raises(UsageError, match="exists already"):
        write_pages(tmp_path / "out", 1, [], [], unseen=False)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 5


def test_a_stopped_writing_leaves_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no images found"):
        write_pages(tmp_path / "out", 30, [], [], unseen=False, backgrounds=empty)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
