"""The PP-OCRv6 detector: the order of its channels and levels, and the conversion of published weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ocrctl.config.detection_card import detection_card
from ocrctl.config.settings import ModelSettings
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.ppocr.published_detector import in_file_order, recognise
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import WeightFile, read_weight_file

ARCH = "ppocr-det-tiny"


def make(arch: str = ARCH) -> OCRModel:
    torch.manual_seed(0)
    return build_model(detection_card(get_spec(arch), ModelSettings()))


def images(count: int, height: int = 64, width: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def published(arch: str = ARCH) -> WeightFile:
    """A file with the tensors of a published one, in their order and with names that say nothing; values by seed."""
    draw = np.random.default_rng(0)
    shapes = [shape if len(shape) == 4 else (1, *shape, 1, 1) for shape in in_file_order(arch).values()]
    tensors = {f"t{place}": 0.1 * draw.standard_normal(shape, np.float32) for place, shape in enumerate(shapes)}
    return WeightFile(Path("det.onnx"), "onnx", {"constant": np.ones(4, np.float32), **tensors})


def loaded(file: WeightFile) -> OCRModel:
    converted = recognise(file)
    assert converted is not None and converted.arch == ARCH
    model = make()
    model.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in converted.tensors.items()})
    return model


def test_published_weights_take_bgr_and_the_model_takes_rgb() -> None:
    file = published()
    first = next(name for name, values in file.tensors.items() if values.ndim == 4)
    model = loaded(file)
    bgr = images(1).flip(1).float() / 127.5 - 1
    with torch.inference_mode():
        theirs = torch.nn.functional.conv2d(bgr, torch.from_numpy(np.array(file.tensors[first])), None, 2, 1)
        stem = model.encoder.stem.halve
        ours = stem(model.normalise(images(1))) - stem.bias[:, None, None]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_levels_of_the_neck_are_stored_from_coarse_to_fine() -> None:
    names = [
        name for name in in_file_order(ARCH) if name.startswith("decoder.lateral") and name.endswith("conv.weight")
    ]
    assert names == [f"decoder.lateral.{level}.conv.weight" for level in (3, 2, 1, 0)]


def test_the_added_threshold_branch_starts_at_one_half_and_is_trained() -> None:
    model = loaded(published()).train()
    outputs = model(images(1))
    assert (outputs["threshold"] == 0.5).all()
    outputs["threshold"].square().mean().backward()
    last = model.head.threshold[-1].weight.grad
    assert last is not None and float(last.abs().sum()) > 0


def test_the_threshold_is_not_computed_outside_training() -> None:
    model = make().eval()
    model.head.threshold.register_forward_hook(lambda *_: pytest.fail("the threshold branch ran"))
    assert set(model(images(1))) == {"probability"}


@pytest.mark.parametrize("change", ["one tensor less", "another shape", "a state dict"])
def test_other_files_are_not_recognised(change: str) -> None:
    file = published()
    tensors = dict(file.tensors)
    if change == "one tensor less":
        tensors.popitem()
    elif change == "another shape":
        tensors["t0"] = np.zeros((16, 1, 3, 3), np.float32)
    kind = "state_dict" if change == "a state dict" else "onnx"
    assert recognise(WeightFile(file.path, kind, tensors)) is None


def test_the_parts_of_the_medium_neck_are_stored_in_the_order_of_use() -> None:
    names = list(in_file_order("ppocr-det-medium"))
    parts = [name.removeprefix("decoder.").rsplit(".", 1)[0] for name in names if name.startswith("decoder.")]
    parts = list(dict.fromkeys(".".join(part.split(".")[:2]) for part in parts))
    coarse_to_fine, fine_to_coarse = (3, 2, 1, 0), (0, 1, 2, 3)
    assert parts == [
        *(f"lateral.{level}" for level in coarse_to_fine),
        *(f"smooth.{level}" for level in coarse_to_fine),
        *(f"down.{level}" for level in fine_to_coarse[:3]),
        *(f"aggregate.{level}" for level in fine_to_coarse),
        *(f"refine.{level}" for level in coarse_to_fine),
    ]
    assert [name for name in names if name.startswith("decoder.refine.0.steps.0")] == [
        f"decoder.refine.0.steps.0.{kernel}.{kind}" for kernel in range(3) for kind in ("weight", "bias")
    ]  # square, column, row


def test_a_file_of_the_medium_size_is_recognised() -> None:
    converted = recognise(published("ppocr-det-medium"))
    assert converted is not None and converted.arch == "ppocr-det-medium"
    assert set(converted.tensors) == set(make("ppocr-det-medium").state_dict())


def test_the_medium_neck_sends_fine_features_to_the_coarse_level() -> None:
    neck = make("ppocr-det-medium").eval().decoder
    features = [
        torch.zeros(1, channels, 64 >> level, 64 >> level) for level, channels in enumerate((128, 256, 512, 896))
    ]
    changed = [features[0].clone(), *features[1:]]
    changed[0][..., 32, 32] = 1.0
    with torch.inference_mode():
        difference = (neck(tuple(changed)) - neck(tuple(features))).abs()
    assert bool((difference.unflatten(1, (4, -1)).amax((0, 2, 3, 4)) > 0).all())  # of every level, the coarsest too


def test_layers_are_numbered_from_the_stem_to_the_head() -> None:
    model = make()
    depth = {name: model.layer_depth(name) for name, _ in model.named_parameters()}
    assert depth["encoder.stem.halve.weight"] == 0
    assert depth["encoder.stages.2.1.depthwise.weight"] == 3
    assert depth["decoder.lateral.0.conv.weight"] == depth["head.probability.0.weight"] == model.layers - 1 == 5


def test_probabilities_equal_those_of_onnx_runtime() -> None:
    """Of the published weights, from an installed rapidocr."""
    resources = pytest.importorskip("importlib.resources")
    try:
        path = Path(str(resources.files("rapidocr") / "models" / "PP-OCRv6_det_small.onnx"))
    except ModuleNotFoundError:
        pytest.skip("rapidocr is not installed")
    onnxruntime = pytest.importorskip("onnxruntime")
    converted = recognise(read_weight_file(path))
    assert converted is not None
    model = make(converted.arch).eval()
    model.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in converted.tensors.items()})
    shown = images(1, 128, 160)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: (shown.flip(1).float() / 127.5 - 1).numpy()})[0]
    with torch.inference_mode():
        ours = model(shown)["probability"].sigmoid()
    np.testing.assert_allclose(ours.numpy(), theirs[:, 0], atol=1e-4)
