"""Published CRNN weights: the logits are those of the published network, computed here from the file's own tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl import Engine
from ocrctl.errors import InputError
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.crnn.published import EASYOCR_ENGLISH
from ocrctl.models.crnn.vgg import SIZES
from ocrctl.models.weight_file import read_weight_file, recognise
from ocrctl.text.charset import ASCII94, LOWER36

POOLS: dict[int, Any] = {2: (2, 2), 5: (2, 2), 10: (2, 1), 17: (2, 1)}  # max pooling before the layer of this number
CONVOLUTIONS = (0, 3, 6, 8, 11, 14, 18)


def published(arch: str, classes: int) -> dict[str, Tensor]:
    """Random weights under the names of the published files, small enough to keep numbers of about 1."""
    size, generator = SIZES[arch], torch.Generator().manual_seed(2)
    found: dict[str, Tensor] = {}

    def add(name: str, *shape: int, scale: float | None = None) -> None:
        fan = shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1) if len(shape) > 1 else 100
        value = torch.randn(shape, generator=generator) * (scale or (2 / fan) ** 0.5)
        found[f"module.{name}"] = value

    channels = [size.channels // 8, size.channels // 4, size.channels // 2, size.channels // 2] + 3 * [size.channels]
    before = 1
    for number, out in zip(CONVOLUTIONS, channels, strict=True):
        kernel = 2 if number == 18 else 3
        add(f"FeatureExtraction.ConvNet.{number}.weight", out, before, kernel, kernel)
        if number in (11, 14):
            for part in ("weight", "bias", "running_mean"):
                add(f"FeatureExtraction.ConvNet.{number + 1}.{part}", out, scale=0.5)
            found[f"module.FeatureExtraction.ConvNet.{number + 1}.running_var"] = torch.full((out,), 0.5)
            found[f"module.FeatureExtraction.ConvNet.{number + 1}.num_batches_tracked"] = torch.tensor(7)
        else:
            add(f"FeatureExtraction.ConvNet.{number}.bias", out)
        before = out
    for index, features in enumerate((size.channels, size.hidden)):
        lstm = nn.LSTM(features, size.hidden, bidirectional=True)
        for name, value in lstm.named_parameters():
            add(f"SequenceModeling.{index}.rnn.{name}", *value.shape, scale=0.1)
        add(f"SequenceModeling.{index}.linear.weight", size.hidden, 2 * size.hidden)
        add(f"SequenceModeling.{index}.linear.bias", size.hidden)
    add("Prediction.weight", classes, size.hidden)
    add("Prediction.bias", classes)
    return found


def reference(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
    """The published network, layer by layer: (N, 1, H, W) from -1 to 1 to (N, W / 4 - 1, K)."""

    def of(name: str) -> dict[str, Tensor]:
        prefix = f"module.{name}."
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    x = images
    for number in range(20):
        own = of(f"FeatureExtraction.ConvNet.{number}")
        if number in POOLS:
            x = F.max_pool2d(x, POOLS[number])
        elif number in CONVOLUTIONS:
            x = F.conv2d(x, own["weight"], own.get("bias"), padding=0 if number == 18 else 1)
        elif "running_mean" in own:
            x = F.batch_norm(x, own["running_mean"], own["running_var"], own["weight"], own["bias"])
        else:
            x = F.relu(x)
    x = F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), (None, 1)).squeeze(3)  # (N, T, D)
    for index in (0, 1):
        weights = of(f"SequenceModeling.{index}.rnn")
        hidden = weights["weight_hh_l0"].shape[1]
        lstm = nn.LSTM(x.shape[2], hidden, bidirectional=True, batch_first=True)
        lstm.load_state_dict(weights)
        linear = of(f"SequenceModeling.{index}.linear")
        x = F.linear(lstm(x)[0], linear["weight"], linear["bias"])
    return F.linear(x, **of("Prediction"))


def grey(image: np.ndarray) -> Tensor:
    """(H, W) to (1, 1, H, W) from -1 to 1."""
    return torch.from_numpy(image.astype(np.float32) / 255 - 0.5)[None, None] / 0.5


def test_a_stretched_image_has_the_logits_of_the_published_network(tmp_path: Path) -> None:
    tensors = published("crnn-vgg", 37)
    torch.save(tensors, tmp_path / "None-VGG-BiLSTM-CTC.pth")
    engine = Engine.load(tmp_path / "None-VGG-BiLSTM-CTC.pth", device="cpu")
    assert (engine.card.arch, engine.card.charset) == ("crnn-vgg", LOWER36)
    batch = np.random.default_rng(0).integers(0, 256, (2, 32, 100, 1), dtype=np.uint8)
    logits = engine.logits(batch)
    assert logits.shape == (2, 25, 37)
    with torch.inference_mode():
        expected = torch.cat([reference(tensors, grey(image[:, :, 0])) for image in batch]).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits[:, :24], expected, atol=1e-4)
    assert (logits[:, 24].argmax(1) == 0).all()


def test_an_image_of_a_batch_is_continued_by_its_last_column(tmp_path: Path) -> None:
    """As EasyOCR does it, to a multiple of the height; other images of the batch change nothing."""
    from ocrctl.models.build import build_trained

    tensors = published("crnn-vgg-small", 97)
    path = tmp_path / "english_g2.pth"
    torch.save(tensors, path)
    card, weights = load_checkpoint(path)
    assert (card.arch, card.charset, card.preprocessing) == ("crnn-vgg-small", EASYOCR_ENGLISH, "keep")
    model = build_trained(card, weights, path)
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 256), dtype=np.uint8)
    widths = (50, 130, 256)
    with torch.inference_mode():
        found = model(torch.from_numpy(images[:, None]), widths=torch.tensor(widths))["logits"].numpy()
        for row, width, padded in zip(range(3), widths, (64, 192, 256), strict=True):
            alone = np.pad(images[row, :, :width], ((0, 0), (0, padded - width)), mode="edge")
            expected = reference(tensors, grey(alone))[0].numpy()
            np.testing.assert_allclose(found[row, : len(expected)], expected, atol=1e-4)
            assert (found[row, len(expected) :].argmax(1) == 0).all()


def test_grey_is_made_of_rgb(tmp_path: Path) -> None:
    torch.save(published("crnn-vgg", 37), tmp_path / "w.pth")
    engine = Engine.load(tmp_path / "w.pth", device="cpu")
    red = np.zeros((32, 100, 3), np.uint8)
    red[..., 0] = 255
    assert set(engine.prepare(red).ravel().tolist()) == {76}  # luma of red; of blue 29


def test_images_one_pixel_wide_and_very_wide_ones_are_read(tmp_path: Path) -> None:
    torch.save(published("crnn-vgg-small", 97), tmp_path / "w.pth")
    engine = Engine.load(tmp_path / "w.pth", device="cpu")
    images = [np.full((height, width, 3), 200, np.uint8) for height, width in ((40, 1), (1, 1), (30, 20_000), (64, 64))]
    assert [engine.prepare(image).shape for image in images] == [(64, w, 1) for w in (4, 64, 2560, 64)]
    assert len(engine.recognize(images)) == len(images)


@pytest.mark.parametrize(
    ("arch", "classes", "charset"),
    [("crnn-vgg", 95, ASCII94), ("crnn-vgg", 50, None), ("crnn-vgg-small", 352, None)],
)
def test_the_charset_is_that_of_a_release_with_as_many_characters(
    tmp_path: Path, arch: str, classes: int, charset: str | None
) -> None:
    torch.save(published(arch, classes), tmp_path / "w.pth")
    found = recognise(read_weight_file(tmp_path / "w.pth"))
    assert found is not None and (found.arch, found.charset) == (arch, charset)


@pytest.mark.parametrize("changed", ["attention", "resnet", "wide"])
def test_other_models_of_the_same_code_are_refused(tmp_path: Path, changed: str) -> None:
    tensors = published("crnn-vgg", 37)
    if changed == "attention":
        del tensors["module.Prediction.weight"]
        tensors["module.Prediction.attention_cell.i2h.weight"] = torch.zeros(1)
    elif changed == "resnet":
        tensors = {name: value for name, value in tensors.items() if "ConvNet.18" not in name}
    else:
        tensors["module.FeatureExtraction.ConvNet.18.weight"] = torch.zeros(1024, 512, 2, 2)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(InputError, match="but not None-VGG-BiLSTM-CTC with 512 or 256 channels"):
        recognise(read_weight_file(tmp_path / "w.pth"))
