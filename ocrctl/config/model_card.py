"""The model card: what travels inside every checkpoint and ONNX file, so that train, eval, predict and export cannot
drift apart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ocrctl.errors import InputError

CARD_KEY = "ocrctl"  # key in a checkpoint's top level and in ONNX metadata_props


@dataclass(frozen=True)
class ModelCard:
    """Charset, preprocessing, decoding and thresholds of one trained model.

    `height`, `width` in pixels; an input is decoded, stretched to (height, width) with `channels` channels as uint8,
    and normalised inside the model as (x / 255 - mean) / std, one number or one for each channel. `charset` is the
    ordered characters as one string.
    `model` holds the builder's keyword arguments.
    """

    arch: str
    task: str
    charset: str
    height: int
    width: int
    channels: int
    max_label_length: int
    decoder: str
    mean: float | list[float] = 0.5
    std: float | list[float] = 0.5
    preprocessing: str = "stretch"
    thresholds: dict[str, float] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    plugin: str | None = None

    def to_json(self) -> str:
        """One JSON object, keys sorted."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str = "model card") -> ModelCard:
        """Read `to_json` back; fields unknown to this version are refused. Raises InputError naming `where`."""
        try:
            raw = json.loads(text)
        except (json.JSONDecodeError, TypeError) as error:
            raise InputError(f"{where}: the model card is not JSON ({error}).") from error
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(raw) - known) if isinstance(raw, dict) else ["(not an object)"]
        if unknown:
            raise InputError(
                f"{where}: the model card holds unknown fields {', '.join(unknown)}.",
                hint="it was written by a newer ocrctl; upgrade with: pip install -U ocrctl",
            )
        try:
            return cls(**raw)
        except TypeError as error:
            raise InputError(f"{where}: the model card is incomplete ({error}).") from error
