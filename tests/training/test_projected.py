"""Projected memory of a run, from its card and settings."""

from __future__ import annotations

import pytest

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.settings import ModelSettings, TrainSettings
from ocrctl.errors import UsageError
from ocrctl.models.memory import TrainingMemory
from ocrctl.models.registry import get_spec, specs
from ocrctl.training.device import Accelerator
from ocrctl.training.projected import estimate_memory

QUICK = {"dbnet", "ppocr-det-tiny"}
DETECTORS = [name for name, spec in specs().items() if spec.task == "detection"]


def project(name: str, side: int = 64, **train: object) -> TrainingMemory:
    card = detection_card(get_spec(name), ModelSettings(), height=side, width=side)
    return estimate_memory(card, TrainSettings(batch_size=2, **train), Accelerator("cpu", "32-true"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in DETECTORS]
)
def test_every_detector_has_a_projection_that_grows_with_its_page(name: str) -> None:
    small, large = project(name), project(name, 128)
    assert 0 < small.activations < large.activations
    assert small.parameters == large.parameters


def test_an_average_of_the_weights_counts() -> None:
    assert project("dbnet", ema=0.999).parameters == 2 * project("dbnet").parameters


def test_recognisers_by_ctc_have_one_and_autoregressive_ones_say_so() -> None:
    ctc = ModelCard("crnn-tiny", "recognition", "abc", 32, 100, 1, 25)
    assert estimate_memory(ctc, TrainSettings(), Accelerator("cuda", "16-mixed")).activations > 2**20
    with pytest.raises(UsageError, match="detectors and CTC"):
        estimate_memory(
            ModelCard("parseq-tiny", "recognition", "abc", 32, 128, 3, 25), TrainSettings(),
            Accelerator("cpu", "32-true"),
        )  # fmt: skip


@pytest.mark.parametrize("arch", ["crnn-tiny", "ppocr-rec-tiny"])
def test_the_widest_batch_is_projected_where_the_aspect_ratio_is_kept(arch: str) -> None:
    needed = []
    for width in (160, 320):
        card = recognition_card(get_spec(arch, width, "keep"), "abc")
        needed.append(estimate_memory(card, TrainSettings(batch_size=4), Accelerator("cpu", "32-true")).activations)
    assert needed[1] == pytest.approx(2 * needed[0], rel=0.1)
