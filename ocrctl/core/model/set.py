"""`ocrctl model set`: change the thresholds of a trained detector in its file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.suggest import did_you_mean
from ocrctl.core.runs.folder import lock_run
from ocrctl.errors import UsageError
from ocrctl.files.atomic import open_atomic
from ocrctl.files.durable import disk_errors, system_error
from ocrctl.files.lock import lock
from ocrctl.inference.default_models import default_of
from ocrctl.models.card import read_card


@dataclass(frozen=True)
class Changed:
    """Result of `model set`: the written file, and its thresholds before and now."""

    path: Path
    before: dict[str, float]
    now: dict[str, float]


def set_thresholds(model: str, values: Mapping[str, float]) -> Changed:
    """Change the card of the detector at `model` (checkpoint, ONNX file, bundle, run folder); weights stay.

    The file is replaced atomically. Raises UsageError for a recogniser, a run that is being trained, an unknown
    threshold and an invalid value; InputError when the model is missing or cannot be written.
    """
    from ocrctl.inference.locate import locate

    found = locate(model)
    if default := default_of(found.path):
        raise UsageError(
            f"{default.model}: the file of a default model cannot be changed.",
            hint=f"export it, and change the copy: ocrctl export {default.model} -o DIR",
        )
    path = found.path.resolve()  # the target of a link
    folder = path.parent
    # A training may be writing a newer checkpoint; elsewhere, one of two concurrent changes would be lost.
    held = lock_run(folder) if (folder / "config.toml").is_file() else lock(folder / f".{path.name}", name=path)
    try:
        card, save = _onnx(path) if found.kind == "onnx" else _checkpoint(path)
        now = {**card.thresholds, **_checked(card, values, path)}
        with disk_errors(folder, "the model is unchanged"), open_atomic(path) as file:
            save(file, replace(card, thresholds=now).to_json())
    finally:
        held.release()
    return Changed(path, dict(card.thresholds), now)


def _checkpoint(path: Path) -> tuple[ModelCard, Callable[[BinaryIO, str], None]]:
    import torch

    from ocrctl.models.checkpoint import read_checkpoint

    raw: dict[str, Any] = read_checkpoint(path)

    def save(file: BinaryIO, card: str) -> None:
        try:
            torch.save({**raw, CARD_KEY: card}, file)
        except RuntimeError as error:  # from its zip writer, without the cause of a failed write
            raise (system_error(error) or error) from error

    return read_card(raw[CARD_KEY], str(path)), save


def _onnx(path: Path) -> tuple[ModelCard, Callable[[BinaryIO, str], None]]:
    from ocrctl.core.model.info import read_onnx

    graph, card = read_onnx(path)

    def save(file: BinaryIO, text: str) -> None:
        for item in graph.metadata_props:
            if item.key == CARD_KEY:
                item.value = text
        file.write(graph.SerializeToString())

    return card, save


def _checked(card: ModelCard, values: Mapping[str, float], path: Path) -> dict[str, float]:
    if card.task != "detection":
        raise UsageError(f"{path}: {card.arch} is a recogniser and has no thresholds.")
    from ocrctl.models.find import threshold_types

    known = threshold_types(card.arch)
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                f"{name}: {card.arch} has no such threshold.{did_you_mean(name, list(known))}",
                hint=f"it has {', '.join(known)}",
            )
        if not math.isfinite(value) or value < 0:
            raise UsageError(f"{name}={value:g}: expected a number >= 0.")
        if value > 1 and (name.endswith("threshold") or name == "low_text"):
            raise UsageError(f"{name}={value:g}: expected 0 to 1.", hint=f"{name}=0.5")
        if known[name] is not float and value != known[name](value):
            raise UsageError(f"{name}={value:g}: expected {'0 or 1' if known[name] is bool else 'an integer'}.")
    return {name: known[name](value) for name, value in values.items()}
