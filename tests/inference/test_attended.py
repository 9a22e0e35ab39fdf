"""What a recogniser attended to, on the image itself: positions after resizing, padding and turning; refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ocrctl.config.model_card import CARD_KEY, ModelCard, recognition_card
from ocrctl.errors import UsageError
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.locate import ModelFile
from ocrctl.inference.writers.explanation import draw_points, heat
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec, specs

WHERE = Path("words.ckpt")
EXPLAINED = ("attention-crnn-tiny", "parseq-tiny", "satrn-tiny", "true2d-tiny")


class Spotter:
    """A runtime that reads `ab`, and attends to the cell with the brightest pixel for a, to the first for b."""

    name, device, note = "torch", "cpu", ""

    def __init__(self, arch: str, resize: str, *, sampled: bool = False) -> None:
        spec = get_spec(arch).with_resize("keep" if resize == "keep" else "stretch")
        self.card = recognition_card(spec, "abc")
        self.cell = spec.stride_w, spec.stride_h
        self.sampled = sampled
        self.ctc = spec.tokenizer == "ctc"

    def outputs(self, batch: np.ndarray, widths: np.ndarray | None = None) -> dict[str, np.ndarray]:
        steps = batch.shape[2] // self.cell[0] if self.ctc else 26
        logits = np.zeros((len(batch), steps, 4), np.float32)
        logits[..., 0] = 9.0
        logits[:, 0, 1] = logits[:, 1, 2] = 20.0
        return {"logits": logits}

    def allow(self, classes: np.ndarray) -> None:
        """It reads what it reads."""

    def check_search(self) -> None:
        raise AssertionError

    def beams(self, *_: object) -> None:
        raise AssertionError

    def _spots(self, batch: np.ndarray) -> np.ndarray:
        """x and y of the brightest pixel of each image in cells, (N, 2)."""
        flat = batch.max(3).reshape(len(batch), -1).argmax(1)
        return np.stack([flat % batch.shape[2] + 0.5, flat // batch.shape[2] + 0.5], 1) / self.cell

    def attention(self, batch: np.ndarray, widths: np.ndarray | None, ids: np.ndarray) -> np.ndarray:
        _, height, width, _ = batch.shape
        maps = np.zeros((len(batch), ids.shape[1], height // self.cell[1], -(-width // self.cell[0])), np.float32)
        for row, (x, y) in zip(maps, self._spots(batch), strict=True):
            row[0, int(y), int(x)] = row[1, 0, 0] = 1.0
        return maps

    def step_attention(self, batch: np.ndarray, widths: np.ndarray | None) -> np.ndarray:
        steps = batch.shape[2] // self.cell[0]
        return self.attention(batch, widths, np.zeros((len(batch), steps), np.int64))

    def sampling_points(self, batch: np.ndarray, widths: np.ndarray | None, ids: np.ndarray) -> object:
        if not self.sampled:
            return None
        at = np.zeros((len(batch), ids.shape[1], 2, 1, 2), np.float32)
        at[:, 0] = self._spots(batch)[:, None, None]
        return at, np.ones(at.shape[:4], np.float32), np.zeros(at.shape[:4], bool)


def spotted(x: int, y: int, width: int, height: int) -> np.ndarray:
    """A black image with a bright spot of 5 pixels around (x, y)."""
    image = np.zeros((height, width, 3), np.uint8)
    image[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 90
    image[y, x] = 255
    return image


# x and y of a spot, width and height of its image
SPOTS = [(30, 12, 80, 40), (150, 20, 300, 30), (9, 5, 20, 40), (3, 70, 40, 90), (310, 4, 320, 16)]


def engine(runtime: Spotter) -> Engine:
    return Engine(ModelFile(WHERE, "checkpoint", "words"), runtime, explain=True)  # type: ignore[arg-type]


def hottest(hot: np.ndarray) -> np.ndarray:
    """Return the middle of the hottest pixels, x and y from 0 to 1."""
    rows, columns = np.nonzero(hot > 0.99 * hot.max())
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / hot.shape[::-1]


def turned(x: float, y: float, turns: int) -> tuple[float, float]:
    """Where a point of an image, x and y from 0 to 1, is after quarter turns to the left."""
    for _ in range(turns):
        x, y = y, 1 - x
    return x, y


@pytest.mark.parametrize("resize", ["stretch", "keep"])
@pytest.mark.parametrize("arch", ["satrn-tiny", "attention-crnn-tiny"])
def test_heat_is_hottest_where_the_model_attends_to(arch: str, resize: str) -> None:
    """Images of all widths share a batch, so that those of kept aspect ratio are padded."""
    model = engine(Spotter(arch, resize))
    for (x, y, width, height), read in zip(SPOTS, model.recognize([spotted(*one) for one in SPOTS]), strict=True):
        seen = read.attention
        assert read.text == "ab" and seen is not None and seen.cells.shape[0] == 2 and seen.points is None
        assert seen.kind == ("self" if arch.startswith("attention") else "cross")
        assert np.array_equal(seen.cells.sum((1, 2)), [1, 1])
        hot = heat(seen, 0, (width, height))
        assert hot.shape == (height, width) and 0 < hot.max() <= 1
        reach = np.array([width, height]) * seen.size
        apart = np.abs(hottest(hot) * (width, height) - (x + 0.5, y + 0.5))
        assert apart[0] <= 0.75 * reach[0] + 1.5  # half a cell from the edge it is all the same
        assert arch.startswith("attention") or apart[1] <= 0.75 * reach[1] + 1.5
        far = np.abs(np.arange(width) - x) > reach[0] * 1.5 + 2
        assert not hot[:, far].any()
        assert hottest(heat(seen, 1, (width, height)))[0] * width <= reach[0] / 2 + 1


@pytest.mark.parametrize("resize", ["stretch", "keep"])
def test_a_point_is_drawn_where_it_is_sampled(resize: str) -> None:
    model = engine(Spotter("true2d-tiny", resize, sampled=True))
    images = [spotted(*one) for one in SPOTS]
    for (x, y, width, height), image, read in zip(SPOTS, images, model.recognize(images), strict=True):
        assert read.attention is not None and read.attention.kind == "points"
        points = read.attention.points
        assert points is not None and points.at.shape == (2, 2, 1, 2)
        rows, columns, _ = model.prepare(image).shape
        scale = np.array([width / columns, height / rows])  # pixels of the image for each of the input
        found = points.at[0, 0, 0] * (width, height)
        assert np.all(np.abs(found - (x + 0.5, y + 0.5)) <= np.maximum(scale, 1.0))
        drawn = draw_points(np.full((height, width, 3), 128, np.uint8), points, 0)
        down, across = np.nonzero((drawn != 128).any(2))
        assert down.min() <= y + 1 and down.max() >= y - 1 and across.min() <= x + 1 and across.max() >= x - 1
        assert np.ptp(across) < 25 and np.ptp(down) < 25


def test_positions_of_characters_do_not_depend_on_wider_images_of_the_batch() -> None:
    """Cells of padding are no part of an image."""
    model = engine(Spotter("satrn-tiny", "keep"))
    images = [spotted(*one) for one in SPOTS]
    together = model.recognize(images, characters=True)
    for image, (x, _, width, _), read in zip(images, SPOTS, together, strict=True):
        (alone,) = model.recognize([image], characters=True)
        np.testing.assert_allclose(alone.positions, read.positions, atol=1e-6)
        assert read.attention is not None
        assert abs(read.positions[0, 0] * width - x - 0.5) <= read.attention.size[0] * width / 2 + 1.5


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_tall_word_is_explained_as_it_was_read(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Spotter("satrn-tiny", "keep")
    model = engine(runtime)
    confidences = iter([0.9 if turn == turns else 0.1 for turn in (0, 1, 3)])
    read_one = model.recognize_prepared

    def sure_of_one(images: list[np.ndarray], batch_size: int = 64, *, characters: bool = False) -> list[Recognition]:
        found = read_one(images, batch_size, characters=characters)
        return [replace(one, confidence=next(confidences)) for one in found]

    monkeypatch.setattr(model, "recognize_prepared", sure_of_one)
    (read,) = model.recognize([spotted(10, 60, 40, 90)], turn=1.5)
    seen = read.attention
    assert seen is not None and seen.turns == turns
    upright = np.array([10.5 / 40, 60.5 / 90])
    assert (np.abs(read.positions[0] - upright) <= np.array(seen.size[:: -1 if turns else 1]) / 2 + 0.03).all()
    size = (90, 40) if turns else (40, 90)
    apart = np.abs(hottest(heat(seen, 0, size)) - turned(*upright, turns))
    assert (apart <= 0.75 * np.array(seen.size)).all()


def untrained(arch: str, folder: Path, resize: str = "stretch", **options: object) -> Path:
    """A checkpoint of random weights that reads texts of several characters."""
    spec = get_spec(arch).with_resize("keep" if resize == "keep" else "stretch")
    card = replace(recognition_card(spec, "abcdef", model=options), max_label_length=spec.max_label_length)
    torch.manual_seed(0)
    model = build_model(card).eval()
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    bias = "model.head.linear.bias" if spec.tokenizer == "ctc" else "model.head.bias"
    weight = bias.replace("bias", "weight")
    state[weight] = state[weight] * 30
    state[bias][0] -= 3 if spec.tokenizer == "ctc" else 1e4  # texts of an autoregressive model never end early
    path = folder / f"{arch}-{resize}.ckpt"
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)
    return path


@pytest.mark.parametrize("resize", ["stretch", "keep"])
@pytest.mark.parametrize("arch", EXPLAINED)
def test_attention_of_a_real_model_sums_to_one_over_the_image(arch: str, resize: str, tmp_path: Path) -> None:
    if resize not in get_spec(arch).resizes:
        pytest.skip(f"{arch} reads one size")
    path = untrained(arch, tmp_path, resize)
    explained, plain = Engine.load(path, "cpu", explain=True), Engine.load(path, "cpu")
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (32, width, 3), dtype=np.uint8) for width in (9, 32, 152, 60)]
    found = explained.recognize(images)
    assert [one.text for one in found] == [one.text for one in plain.recognize(images)]
    assert sum(len(one.text) for one in found) > 8
    for one in found:
        seen = one.attention
        assert (seen is None) == (one.text == "")
        if seen is None:
            continue
        assert len(seen.cells) == len(one.text) == len(one.characters or ())
        columns = seen.cells.shape[2]
        assert columns == np.ceil(1 / seen.size[0] - 1e-3)  # those that the image reaches
        np.testing.assert_allclose(seen.cells.sum((1, 2)), 1.0, rtol=1e-4)
        assert (seen.points is not None) == (arch == "true2d-tiny") and (seen.steps is None) == (seen.kind != "self")
        if seen.points is not None:
            assert seen.points.at.shape == (len(one.text), 4, 4, 2)
            assert seen.points.at.min() >= 0 and seen.points.at.max() <= 1
            np.testing.assert_allclose(seen.points.weights.sum(2), 1.0, rtol=1e-5)
            mean = (seen.points.at[..., 0] * seen.points.weights / 4).sum((1, 2))
            if abs(1 / seen.size[0] - columns) < 1e-3:  # no cell is beyond the image in part
                np.testing.assert_allclose(mean, seen.centres()[:, 0], atol=2e-3)  # points and cells agree
        if seen.steps is not None:
            middle = seen.steps.mean(1)
            np.testing.assert_allclose(middle, [char.x for char in one.characters or ()], atol=seen.size[0])
            assert (np.diff(middle) > 0).all()


def test_full_cross_attention_of_true2d_has_no_points(tmp_path: Path) -> None:
    path = untrained("true2d-tiny", tmp_path, cross_attention="full")
    (read,) = Engine.load(path, "cpu", explain=True).recognize([spotted(30, 12, 80, 40)])
    assert read.text and read.attention is not None
    assert read.attention.kind == "cross" and read.attention.points is None


def test_the_spec_says_which_models_have_attention() -> None:
    """The spec decides what `--explain` refuses before a model is loaded."""
    from ocrctl.models.ocr_model import OCRModel

    for spec in specs().values():
        if spec.task == "detection" or (spec.name.endswith(("satrn", "true2d")) and "tiny" not in spec.name):
            continue
        model = type(build_model(recognition_card(spec, "ab")))
        cross = model.attention is not OCRModel.attention
        steps = model.step_attention is not OCRModel.step_attention
        assert spec.attention == ("cross" if cross else "self" if steps else ""), spec.name
    assert get_spec("satrn").attention == get_spec("true2d").attention == "cross"


def test_models_without_attention_are_refused(tiny_checkpoint: Path, tiny_detector: Path) -> None:
    with pytest.raises(
        UsageError, match="crnn-tiny cannot be explained; models whose attention is known are attention-crnn"
    ) as error:
        Engine.load(tiny_checkpoint, "cpu", explain=True)
    assert error.value.hint is not None and "--characters" in error.value.hint
    with pytest.raises(UsageError, match="is a detector; an explanation requires a recogniser"):
        Engine.load(tiny_detector, "cpu", explain=True)
    card: ModelCard = recognition_card(get_spec("satrn-tiny"), "abc")
    graph = SimpleNamespace(name="onnx", device="cpu", note="", card=card, outputs=lambda batch: {})
    with pytest.raises(UsageError, match="words.ckpt: ONNX Runtime gives no attention; .* requires the checkpoint"):
        Engine(ModelFile(WHERE, "onnx", "words"), graph, explain=True)  # type: ignore[arg-type]
    assert Engine(ModelFile(WHERE, "onnx", "words"), graph).explains is False  # type: ignore[arg-type]
