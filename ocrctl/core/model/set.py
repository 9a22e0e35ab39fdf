"""`ocrctl model set`: change the thresholds of a trained detector, or the n-gram model of a recogniser, in its file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ocrctl.config.card_ngram import BUILT_IN, CardNgram
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.suggest import did_you_mean
from ocrctl.core.runs.folder import lock_run
from ocrctl.errors import InputError, UsageError, counted
from ocrctl.files.atomic import open_atomic
from ocrctl.files.durable import disk_errors, system_error
from ocrctl.files.lock import lock
from ocrctl.inference.decoding import NGRAM_WEIGHT, NONE
from ocrctl.inference.default_models import default_of
from ocrctl.models.card import card_spec, card_tokenizer, read_card


@dataclass(frozen=True)
class Changed:
    """Result of `model set`: the written file, and its thresholds before and now."""

    path: Path
    before: dict[str, float]
    now: dict[str, float]


@dataclass(frozen=True)
class StoredNgram:
    """An n-gram model in a file: of each source the name, or the number of different texts; and its weight."""

    sources: tuple[str | int, ...]
    weight: float

    def __str__(self) -> str:
        named = (one if isinstance(one, str) else counted(one, "text") for one in self.sources)
        return f"{' and '.join(named)}, weight {self.weight:g}"


@dataclass(frozen=True)
class ChangedNgram:
    """Result of `model set --ngram`: the written file, and its n-gram models before and now, None without."""

    path: Path
    before: StoredNgram | None
    now: StoredNgram | None


def set_thresholds(model: str, values: Mapping[str, float]) -> Changed:
    """Change the card of the detector at `model` (checkpoint, ONNX file, bundle, run folder); weights stay.

    The file is replaced atomically. Raises UsageError for a recogniser, a run that is being trained, an unknown
    threshold and an invalid value; InputError when the model is missing or cannot be written.
    """
    path, before, now = _change(
        model, lambda card, path: replace(card, thresholds={**card.thresholds, **_checked(card, values, path)})
    )
    return Changed(path, dict(before.thresholds), now.thresholds)


def set_ngram(model: str, sources: Sequence[str], weight: float | None = None) -> ChangedNgram:
    """Change the n-gram model in the card of the CTC recogniser at `model`, as `set_thresholds` does.

    sources: as in `ngram_texts.texts_of`, whose texts are stored in the file, `none` alone to remove it, or nothing to
    change the weight only; weight: None is NGRAM_WEIGHT. Raises UsageError for another model, `none` beside other
    sources or a weight, a weight that is not above 0 and at most 10, and more texts than a card holds; InputError for
    sources that cannot be read or hold no character of the charset.
    """
    removes = NONE in sources
    if removes and (len(sources) > 1 or weight is not None):
        raise UsageError("--ngram none removes the n-gram model; it cannot be combined with sources or a weight.")
    if weight is not None and not 0 < weight <= 10:
        raise UsageError(
            f"--ngram-weight {weight:g}: expected a number above 0 and at most 10.", hint="remove it with: --ngram none"
        )
    given = None if removes or not sources else _read_texts(sources, NGRAM_WEIGHT if weight is None else weight)

    def change(card: ModelCard, path: Path) -> ModelCard:
        _check_ctc(card, path)
        if given is not None:
            _check_says_something(dict(zip(dict.fromkeys(sources), given.sources, strict=True)), card)
        elif not removes:
            if card.ngram is None or weight is None:
                raise UsageError(f"{path}: it has no n-gram model, whose weight could be set.", hint="--ngram SOURCE")
            return replace(card, ngram=replace(card.ngram, weight=weight))
        return replace(card, ngram=given)

    path, before, now = _change(model, change)
    return ChangedNgram(path, _stored(before.ngram), _stored(now.ngram))


def _check_says_something(sources: Mapping[str, str | dict[str, int]], card: ModelCard) -> None:
    from ocrctl.inference.ngram_texts import stored_texts
    from ocrctl.text.ngram import known_characters

    for name, texts in sources.items():
        if not known_characters(stored_texts(texts), card_tokenizer(card).charset):
            raise InputError(f"{name}: expected texts with characters of the model's charset, found none.")


def _stored(ngram: CardNgram | None) -> StoredNgram | None:
    if ngram is None:
        return None
    return StoredNgram(tuple(one if isinstance(one, str) else len(one) for one in ngram.sources), ngram.weight)


def _read_texts(sources: Sequence[str], weight: float) -> CardNgram:
    from ocrctl.inference.ngram_texts import texts_of

    held: list[str | dict[str, int]] = []
    for source in dict.fromkeys(sources):
        texts = source if source in BUILT_IN else dict(Counter(filter(None, texts_of(source))))
        if not texts:
            raise InputError(f"{source}: expected texts, found none.")
        held.append(texts)
    ngram = CardNgram(tuple(held), weight)
    try:
        return CardNgram.from_dict({"sources": ngram.sources, "weight": weight})
    except ValueError as error:
        raise UsageError(
            f"--ngram: {error}.",
            hint="give a file of the most frequent ones, or name the texts at use: ocrctl predict --ngram SOURCE",
        ) from error


def _check_ctc(card: ModelCard, path: Path) -> None:
    if card.task != "recognition":
        raise UsageError(f"{path}: {card.arch} is a detector; an n-gram model requires a recogniser.")
    if card_spec(card).tokenizer != "ctc":
        raise UsageError(
            f"{path}: {card.arch} is autoregressive; only the file of a CTC recogniser holds an n-gram model.",
            hint="name the texts at use: ocrctl predict --ngram SOURCE",
        )


def _change(model: str, change: Callable[[ModelCard, Path], ModelCard]) -> tuple[Path, ModelCard, ModelCard]:
    """Replace the card of `model` by the result of `change`; returns the file, and its card before and now."""
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
        changed = change(card, path)
        with disk_errors(folder, "the model is unchanged"), open_atomic(path) as file:
            save(file, changed.to_json())
    finally:
        held.release()
    return path, card, changed


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
