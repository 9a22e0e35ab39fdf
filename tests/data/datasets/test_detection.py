"""Pages to batches: the n-th sample is always the same, nothing is left out, bad images and values are named."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.augment.pages import PageAugment
from ocrctl.data.datasets.collate import PageBatch, collate
from ocrctl.data.datasets.detection import PageSource, TrainingPages
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.formats import words_json
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.synth.pages.config import SynthPagesConfig
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.errors import InputError, UsageError
from ocrctl.models.family import load_part
from ocrctl.models.registry import families

QUAD = [[20, 10], [70, 10], [70, 30], [20, 30]]


def text_mask(words: PageWords, height: int, width: int) -> dict[str, np.ndarray]:
    """Targets small enough to see through: where there is text, and its number at half the size."""
    mask = np.zeros((height, width), np.uint8)
    for i in range(len(words)):
        cv2.fillPoly(mask, [np.round(words.polygon(i)).astype(np.int32)], 1)
    return {"text": mask, "share": (mask[::2, ::2] / 2).astype(np.float16)}


def write(folder: Path, pictures: dict[str, bytes], words: dict[str, Any] | None = None) -> Annotations:
    table = {}
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
        one = {"points": QUAD, "transcription": "word", "illegibility": False}
        table[name] = {"words": {"1": one} if words is None else words}
    (folder / "train.json").write_text(json.dumps({"images": table}))
    return words_json.read(folder / "train.json")


def encoded(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture
def pages(tmp_path: Path) -> Annotations:
    pictures = {}
    for number in range(6):
        image = np.full((80, 120, 3), 20 * number, np.uint8)
        image[10:30, 20:70] = 255
        pictures[f"p{number}.jpg"] = encoded(image)
    return write(tmp_path, pictures)


def training(data: Annotations, augment: PageAugment | None = None, seed: int = 3) -> TrainingPages:
    source = PageSource(data, None, augment)
    return TrainingPages([source], Mixture([len(source)], None, seed), (96, 128), text_mask, seed)


def test_a_sample_is_a_function_of_seed_and_number(pages: Annotations) -> None:
    stream = training(pages, PageAugment(mosaic=0.3))
    again = pickle.loads(pickle.dumps(stream))
    for n in (0, 7, 1_000_003):
        (image, words), (other, same) = stream.sample(n), again.sample(n)
        np.testing.assert_array_equal(image, other)
        np.testing.assert_array_equal(words.points, same.points)
    assert not np.array_equal(stream.sample(0)[0], training(pages, PageAugment(), seed=4).sample(0)[0])


@pytest.mark.parametrize(
    ("family", "maps"),
    [
        ("dbnet", {"shrink": 1, "shrink_mask": 1, "border": 1, "border_mask": 1}),
        ("pan", {"instance": 4, "kernel": 4, "mask": 4}),
        ("craft", {"region": 2, "affinity": 2, "mask": 2}),
    ],
)
def test_the_targets_of_each_family_pass_the_checks(
    pages: Annotations, tmp_path: Path, family: str, maps: dict[str, int]
) -> None:
    source = PageSource(pages, None, PageAugment())
    synth = SynthPages(SynthPagesConfig(height=96, width=128, textless=0.2))
    mixture = Mixture([6, None], None, 1)
    stream = pickle.loads(
        pickle.dumps(TrainingPages([source, synth], mixture, (96, 128), load_part(families()[family].targets), 1))
    )
    batch = stream.__getitems__(list(range(8)))
    assert isinstance(batch, PageBatch) and batch.images.shape == (8, 96, 128, 3)
    assert {name: found.shape[1:] for name, found in batch.targets.items()} == {
        name: (96 // part, 128 // part) for name, part in maps.items()
    }
    assert all(found.any() for found in batch.targets.values())


def test_a_batch_keeps_its_size_and_its_targets_lie_on_the_words(pages: Annotations) -> None:
    batch = training(pages).__getitems__([0, 1, 2, 3])
    assert isinstance(batch, PageBatch)
    assert batch.images.shape == (4, 96, 128, 3) and batch.ids.tolist() == [0, 1, 2, 3]
    assert batch.targets["text"].shape == (4, 96, 128) and batch.targets["share"].shape == (4, 48, 64)
    for image, text in zip(batch.images, batch.targets["text"], strict=True):
        inside = cv2.erode(text, np.ones((5, 5), np.uint8)) > 0
        assert inside.any() and image[inside].min() > 200


def test_mosaics_hold_the_words_of_four_pages(pages: Annotations) -> None:
    plain = PageAugment(strength=0.0, mosaic=1.0)
    image, words = PageSource(pages, None, plain).sample(0, (192, 256), Random(1))
    assert image.shape == (192, 256, 3) and len(words) == 4
    assert len({(x > 100, y > 80) for x, y in words.boxes()[:, :2]}) == 4
    for left, top, right, bottom in words.boxes().astype(int):
        assert image[top + 3 : bottom - 3, left + 3 : right - 3].min() > 180


def test_pages_without_text_and_chosen_pages(tmp_path: Path) -> None:
    data = write(tmp_path, {"a.png": encoded(np.zeros((40, 40, 3), np.uint8), ".png")}, {})
    batch = training(data, PageAugment()).__getitems__([0, 1])
    assert isinstance(batch, PageBatch) and batch.targets["text"].sum() == 0
    assert len(PageSource(data, [0, 0])) == 2


def test_ignored_words_and_character_quads_arrive(tmp_path: Path) -> None:
    flat = [20, 10, 40, 10, 40, 30, 20, 30]
    moved = [v + 20 * (i % 2 == 0) for i, v in enumerate(flat)]
    words: dict[str, Any] = {
        "a": {"points": QUAD, "transcription": "ab", "characters": [flat, moved]},
        "b": {"points": QUAD, "transcription": None},
    }
    data = write(tmp_path, {"a.png": encoded(np.zeros((40, 90, 3), np.uint8), ".png")}, words)
    _, found = PageSource(data).page(0)
    assert found.ignore.tolist() == [False, True] and found.texts == ["ab", ""]
    assert found.characters.shape == (2, 4, 2) and found.character_offsets.tolist() == [0, 2, 2]
    words["a"]["characters"] = [[1, 2, 3]]
    data = write(tmp_path, {"a.png": encoded(np.zeros((40, 90, 3), np.uint8), ".png")}, words)
    with pytest.raises(InputError, match=r"train.json \(a.png, instance 1\): expected characters"):
        PageSource(data).page(0)


def test_a_broken_image_is_refused_with_its_place(pages: Annotations, tmp_path: Path) -> None:
    (tmp_path / "p2.jpg").write_bytes((tmp_path / "p2.jpg").read_bytes()[:-200])
    (tmp_path / "p4.jpg").unlink()
    results = [training(pages, PageAugment()).__getitems__([n]) for n in range(6)]
    errors = [str(result) for result in results if isinstance(result, InputError)]
    assert len(errors) == 2
    assert any("p2.jpg" in error and "cut off" in error for error in errors)
    assert any("p4.jpg" in error and "missing" in error for error in errors)


def test_polygons_no_rule_would_pass_are_refused_with_their_place(tmp_path: Path) -> None:
    word = {"points": [[1, 1], [5, 5]], "transcription": "x"}
    data = write(tmp_path, {"a.png": encoded(np.zeros((9, 9, 3), np.uint8), ".png")}, {"1": word})
    with pytest.raises(InputError, match=r"train.json \(a.png, instance 1\): expected a polygon"):
        PageSource(data)
    with pytest.raises(UsageError, match="multiples of 32"):
        TrainingPages([], Mixture([1], None, 0), (100, 128), text_mask, 0)


def picture_kinds() -> dict[str, bytes]:
    image = np.full((60, 90, 3), 128, np.uint8)
    image[10:30, 20:70] = 250
    kinds = {
        "grey.png": encoded(image[:, :, 0], ".png"),
        "rgba.png": encoded(np.dstack((image, image[:, :, :1])), ".png"),
        "deep.png": encoded(image.astype(np.uint16) * 257, ".png"),
        "pixel.png": encoded(np.full((1, 1, 3), 200, np.uint8), ".png"),
        "strip.jpg": encoded(np.full((200, 20000, 3), 180, np.uint8)),
        "upright.jpg": encoded(np.full((9000, 30, 3), 180, np.uint8)),
    }
    for name, mode, exif in (("cmyk.jpg", "CMYK", 1), ("turned.jpg", "RGB", 6)):
        out = io.BytesIO()
        tags = PilImage.Exif()
        tags[0x0112] = exif
        stored = np.rot90(image) if exif == 6 else image  # orientation 6 is shown turned to the right
        PilImage.fromarray(np.ascontiguousarray(stored)).convert(mode).save(out, "JPEG", exif=tags, quality=95)
        kinds[name] = out.getvalue()
    return kinds


@pytest.mark.parametrize("kind", ["grey.png", "rgba.png", "deep.png", "cmyk.jpg", "turned.jpg"])
@pytest.mark.parametrize("size", [(96, 128), (32, 32)])
def test_every_kind_of_image_is_read_as_it_is_displayed(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    data = write(tmp_path, {kind: picture_kinds()[kind]})
    image, words = PageSource(data).sample(0, size, Random(0))  # the small size decodes a reduced JPEG
    left, top, right, bottom = np.round(words.boxes()[0]).astype(int)
    assert image[top + 2 : bottom - 2, left + 2 : right - 2].min() > 225
    assert abs(int(image[top + 2, 3, 0]) - 128) < 12


@pytest.mark.parametrize("kind", ["pixel.png", "strip.jpg", "upright.jpg"])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_extreme_sizes_give_the_input_size(tmp_path: Path, kind: str, strength: float) -> None:
    data = write(tmp_path, {kind: picture_kinds()[kind]}, {})
    for seed in range(4):
        image, _ = PageSource(data, None, PageAugment(strength=strength)).sample(0, (640, 640), Random(seed))
        assert image.shape == (640, 640, 3) and image.max() > 60


def test_three_thousand_words_and_one_giant(tmp_path: Path) -> None:
    tiny = {
        str(i): {"points": [[x, y], [x + 4, y], [x + 4, y + 3], [x, y + 3]], "transcription": "a"}
        for i, (x, y) in enumerate((6 * (i % 100), 5 * (i // 100)) for i in range(3000))
    }
    giant = {"points": [[0, 0], [600, 0], [600, 400], [0, 400]], "transcription": "GIANT"}
    data = write(tmp_path, {"a.png": encoded(np.zeros((400, 600, 3), np.uint8), ".png")}, tiny | {"g": giant})
    _, words = PageSource(data).sample(0, (640, 640), Random(0))
    assert len(words) == 3001
    image, words = PageSource(data, None, PageAugment()).sample(0, (640, 640), Random(0))
    assert image.shape == (640, 640, 3) and len(words) > 300


def good() -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
    maps = [{"a": np.ones((4, 4), np.uint8), "b": np.full((2, 2), 0.5, np.float16), "c": np.zeros((2, 2), np.int32)}
            for _ in range(2)]  # fmt: skip
    return [np.zeros((32, 64, 3), np.uint8)] * 2, maps


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a", np.full((4, 4), 2, np.uint8), "draw 8: a holds 2, expected 0 and 1"),
        ("b", np.full((2, 2), np.nan, np.float16), "draw 8: b holds 4 values outside 0..1 or not finite"),
        ("b", np.full((2, 2), 1.5, np.float16), "4 values outside"),
        ("b", np.full((2, 2), -0.5, np.float16), "4 values outside"),
        ("c", np.full((2, 2), -1, np.int32), "draw 8: c holds -1"),
        ("c", np.zeros((2, 2), np.int64), "expected c as int32"),
        ("c", np.zeros((2, 3), np.int32), r"found int32 \(2, 3\)"),
    ],
)
def test_bad_values_are_named_with_their_draw(name: str, value: np.ndarray, message: str) -> None:
    images, maps = good()
    assert collate(images, maps, [7, 8]).targets["a"].shape == (2, 4, 4)
    maps[1][name] = value
    with pytest.raises(ValueError, match=message):
        collate(images, maps, [7, 8])


def test_zeros_may_be_negative_and_images_must_agree() -> None:
    images, maps = good()
    maps[1]["b"] = np.full((2, 2), -0.0, np.float16)
    collate(images, maps, [7, 8])
    with pytest.raises(ValueError, match="draw 8: expected a uint8 image"):
        collate([images[0], np.zeros((64, 64, 3), np.uint8)], maps, [7, 8])
    with pytest.raises(ValueError, match="multiples of 32"):
        collate([np.zeros((30, 64, 3), np.uint8)] * 2, maps, [7, 8])
    with pytest.raises(ValueError, match="expected the maps"):
        collate(images, [maps[0], {"a": maps[1]["a"]}], [7, 8])
