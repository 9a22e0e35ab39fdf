"""The model card: metadata in every checkpoint and ONNX file that train, eval, predict and export share."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from ocrctl.config.card_ngram import CardNgram
from ocrctl.config.card_rules import card_problem
from ocrctl.config.feature_grid import IMAGENET, NORMALISATION, OWN
from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.errors import InputError

CARD_KEY = "ocrctl"  # key in a checkpoint's top level and in ONNX metadata_props


@dataclass(frozen=True)
class ModelCard:
    """Charset, preprocessing, decoding and thresholds of one trained model.

    `height`, `width` in pixels; an input is decoded, resized to (height, width) with `channels` channels as uint8,
    and normalised inside the model as (x / 255 - mean) / std, one number or one per channel. With `preprocessing`
    "keep" (a recogniser that keeps the aspect ratio) `kept` holds the widths and padding, and `width` is the maximum.
    `charset` is the ordered characters as one string. `model` holds the builder's keyword arguments. `ngram`: the
    n-gram model that ranks what a CTC recogniser reads, where it has one (`model set --ngram`).
    """

    arch: str
    task: str
    charset: str
    height: int
    width: int
    channels: int
    max_label_length: int
    mean: float | list[float] = 0.5
    std: float | list[float] = 0.5
    preprocessing: str = "stretch"
    thresholds: dict[str, float] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    plugin: str | None = None
    kept: KeptAspect | None = None
    ngram: CardNgram | None = None

    def to_json(self) -> str:
        """Return the card as one JSON object with sorted keys; what older versions do not know is left out where it
        changes nothing, so that they read the card, and the shipped weights are the same file when made again."""
        fields = asdict(self)
        if self.ngram is None:
            del fields["ngram"]
        if self.kept is None:
            del fields["kept"]
        else:
            for name in ("linear", "tall", "buckets"):
                if not fields["kept"][name]:
                    del fields["kept"][name]
        return json.dumps(fields, ensure_ascii=False, sort_keys=True)

    @property
    def example_width(self) -> int:
        """Return the width in pixels of a typical input: for an image four times as wide as high where the
        aspect ratio is kept."""
        return self.width if self.kept is None else self.kept.batch_width(min(4 * self.height, self.width))

    @property
    def widths(self) -> str:
        """Return the widths of an input in pixels, for messages: `100`, or `8..640` where the aspect ratio is kept."""
        return str(self.width) if self.kept is None else f"{self.kept.min_width}..{self.width}"

    @classmethod
    def from_json(cls, text: str, where: str = "model card") -> ModelCard:
        """Parse the result of `to_json`. Raises InputError naming `where` for invalid JSON, unknown or missing fields,
        and values that `config.card_rules` rejects."""
        try:
            raw = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{where}: the model card is not JSON ({str(error)[:120]}).") from error
        if not isinstance(raw, dict):
            raise InputError(f"{where}: the model card should be a JSON object, found {type(raw).__name__}.")
        raw.pop("decoder", None)  # of version 0.1; the architecture defines it now
        unknown = sorted(set(raw) - {f.name for f in fields(cls)})
        if unknown:
            named = ", ".join(name[:40] for name in unknown[:3])
            raise InputError(
                f"{where}: the model card holds unknown fields {named}{' ...' if len(unknown) > 3 else ''}.",
                hint="it was written by a newer ocrctl; upgrade with: pip install -U ocrctl",
            )
        missing = [f.name for f in fields(cls) if f.name not in raw and f.default is f.default_factory is MISSING]
        if missing:
            raise InputError(f"{where}: the model card is incomplete (it lacks {', '.join(missing)}).")
        if problem := card_problem(raw):
            raise InputError(f"{where}: the model card is damaged: {problem}.", hint="use the file as its run wrote it")
        if raw.get("kept") is not None:
            raw["kept"] = KeptAspect.from_dict(raw["kept"])
        if raw.get("ngram") is not None:
            raw["ngram"] = CardNgram.from_dict(raw["ngram"])
        return cls(**raw)


def recognition_card(
    spec: ModelSpec, charset: str, *, model: dict[str, Any] | None = None, version: str = ""
) -> ModelCard:
    """Return the card of the recogniser `spec`. model: the builder's keyword arguments, besides those that `spec` holds
    as chosen."""
    backbone = spec.backbones[0] if spec.backbones else OWN
    mean, std = (0.5, 0.5) if backbone == OWN else NORMALISATION.get(backbone, IMAGENET)
    return ModelCard(
        arch=spec.name, task=spec.task, charset=charset, height=spec.input_height, width=spec.input_width,
        channels=spec.channels, max_label_length=spec.max_label_length, preprocessing=spec.resize, mean=mean, std=std,
        model={**(model or {}), **dict(spec.chosen)}, version=version, plugin=spec.plugin,
        kept=spec.kept if spec.keeps_aspect else None,
    )  # fmt: skip
