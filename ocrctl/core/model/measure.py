"""Count the parameters and FLOPs of a model, and measure its latency on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.config.settings import ModelSettings
from ocrctl.core.model.figures import ModelFigures
from ocrctl.models.build import build_model
from ocrctl.models.card import card_spec
from ocrctl.models.ocr_model import NEVER, OCRModel
from ocrctl.models.plugins import guarded
from ocrctl.runtime import model_threads
from ocrctl.text.charset import Charset

WARM_UP, RUNS, SECONDS = 2, 15, 3.0  # runs before the measured ones; at most so many, and no new one after so long


def default_card(spec: ModelSpec) -> ModelCard:
    """Return the card of the architecture with its default charset and backbone."""
    if spec.task == "detection":
        return detection_card(spec, ModelSettings())
    settings = ModelSettings()
    options = {name: getattr(settings, name) for name in spec.options}
    return recognition_card(spec, Charset.load(spec.default_charset).chars, model=options)


def model_figures(card: ModelCard) -> ModelFigures:
    """Count the parameters and FLOPs of the model that `card` describes, without memory for its weights. Raises
    PluginError when a plug-in cannot build it."""
    spec = card_spec(card)
    detects = spec.detector is not None
    width = card.width if detects else card.example_width
    with torch.device("cpu" if spec.plugin else "meta"):  # that of a plug-in is run when it is built
        model = build_model(card).eval().to("meta")
    images = torch.zeros(1, card.channels, card.height, width, dtype=torch.uint8, device="meta")
    foreign = guarded(f"plug-in {spec.plugin}", "counting FLOPs") if spec.plugin else nullcontext()
    with foreign, torch.no_grad(), FlopCounterMode(display=False) as counter:
        if spec.generates:
            model.encode(model.normalise(images))
        else:
            model(images)
    cell = spec.detector.finest_stride if spec.detector else None
    grid = (int(card.height / cell), int(card.width / cell)) if cell else replace(spec, input_width=width).grid
    return ModelFigures(
        card.arch, card.height, width, card.channels, sum(p.numel() for p in model.parameters()),
        counter.get_total_flops(), grid, None if detects else output_steps(spec, width),
    )  # fmt: skip


def latency(card: ModelCard) -> float:
    """Measure the milliseconds of one image in PyTorch on the CPU, with random weights."""
    torch.manual_seed(0)
    model = build_model(card).eval()
    detects = card.task == "detection"
    width = card.width if detects else card.example_width
    images = torch.randint(0, 256, (1, card.channels, card.height, width), dtype=torch.uint8)
    run: Callable[[], object]
    if card_spec(card).generates:
        _never_end(model)
        run = partial(model.generate, images)
    elif card.kept is not None:
        run = partial(model, images, widths=torch.tensor([width]))
    else:
        run = partial(model, images)
    before = torch.get_num_threads()
    torch.set_num_threads(model_threads(None))
    try:
        with torch.inference_mode():
            return median_ms(run)
    finally:
        torch.set_num_threads(before)


def trained_latency(path: Path) -> float:
    """Measure the milliseconds of one image with the model at `path`, in the runtime that reads it, on the CPU."""
    from ocrctl.inference.engine import Engine

    engine = Engine.load(path, device="cpu")
    card, random = engine.card, np.random.default_rng(0)
    width = card.width if engine.detects else card.example_width
    image = random.integers(0, 256, (card.height, width, 3), dtype=np.uint8)
    if engine.detects:
        page = engine.prepare_page(image)
        return median_ms(lambda: engine.maps([page]))
    ((_, batch, widths),) = engine.batches([engine.prepare(image)])
    return median_ms(lambda: engine.logits(batch, widths))


def median_ms(run: Callable[[], object]) -> float:
    """Return the median of the milliseconds of `run` after a warm-up."""
    for _ in range(WARM_UP):
        run()
    found: list[float] = []
    begun = time.perf_counter()
    while len(found) < RUNS and (not found or time.perf_counter() - begun < SECONDS):
        start = time.perf_counter()
        run()
        found.append(1e3 * (time.perf_counter() - start))
    return median(found)


def _never_end(model: OCRModel) -> None:
    """Make class 0 of an autoregressive model, the end of the text, impossible."""
    with torch.no_grad():
        for name in model.class_tensors:
            tensor: Tensor = model.state_dict()[name]
            if tensor.ndim == 1:
                tensor[0] = NEVER
