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
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import open_atomic
from ocrctl.files.durable import disk_errors, system_error
from ocrctl.files.lock import lock
from ocrctl.inference.default_models import default_of
from ocrctl.models.card import read_card

NONE = "none"  # instead of sources: without an n-gram model
MAX_TEXTS = 200_000  # different texts in a card


@dataclass(frozen=True)
class Changed:
    """Result of `model set`: the written file, and its thresholds before and now."""

    path: Path
    before: dict[str, float]
    now: dict[str, float]


@dataclass(frozen=True)
class ChangedNgram:
    """Result of `model set --ngram`: the written file, and its n-gram models before and now in words, None without."""

    path: Path
    before: str | None
    now: str | None


def set_thresholds(model: str, values: Mapping[str, float]) -> Changed:
    """Change the card of the detector at `model` (checkpoint, ONNX file, bundle, run folder); weights stay.

    The file is replaced atomically. Raises UsageError for a recogniser, a run that is being trained, an unknown
    threshold and an invalid value; InputError when the model is missing or cannot be written.
    """
    path, before, now = _change(
        model, lambda card, path: replace(card, thresholds={**card.thresholds, **_checked(card, values, path)})
    )
    return Changed(path, dict(before.thresholds), now.thresholds)


def set_ngram(model: str, sources: Sequence[str], weight: float) -> ChangedNgram:
    """Change the n-gram model in the card of the CTC recogniser at `model`, as `set_thresholds` does.

    sources: as in `ngram_texts.texts_of`, or `none` alone to remove it; the texts are stored in the file. Raises
    UsageError for another model, `none` beside other sources, and more than MAX_TEXTS texts; InputError for sources
    that cannot be read or hold no character of the charset.
    """
    if NONE in sources and len(sources) > 1:
        raise UsageError("--ngram none removes the n-gram model; it cannot be combined with other sources.")
    if not 0 <= weight <= 10:
        raise UsageError(f"--ngram-weight {weight:g}: expected 0 to 10.")
    given = None if NONE in sources else _read_texts(sources, weight)

    def change(card: ModelCard, path: Path) -> ModelCard:
        _check_ctc(card, path)
        if given is not None:
            from ocrctl.inference.ngram_texts import load_ngram
            from ocrctl.models.card import card_tokenizer

            load_ngram(given.sources, card_tokenizer(card).charset)  # raises InputError when it says nothing
        return replace(card, ngram=given)

    path, before, now = _change(model, change)
    return ChangedNgram(path, _in_words(before.ngram), _in_words(now.ngram))


def _in_words(ngram: CardNgram | None) -> str | None:
    return None if ngram is None else f"{ngram.describe()}, weight {ngram.weight:g}"


def _read_texts(sources: Sequence[str], weight: float) -> CardNgram:
    from ocrctl.inference.ngram_texts import texts_of

    held = tuple(
        source if source in BUILT_IN and not Path(source).exists() else dict(Counter(filter(None, texts_of(source))))
        for source in dict.fromkeys(sources)
    )
    texts = sum(len(one) for one in held if not isinstance(one, str))
    if texts > MAX_TEXTS:
        raise UsageError(
            f"--ngram: {texts:,} different texts; a model file holds at most {MAX_TEXTS:,}.",
            hint="give a file of the most frequent ones, or name the texts at use: ocrctl predict --ngram SOURCE",
        )
    empty = [source for source, one in zip(dict.fromkeys(sources), held, strict=True) if not one]
    if empty:
        raise InputError(f"{empty[0]}: expected texts, found none.")
    return CardNgram(held, weight)


def _check_ctc(card: ModelCard, path: Path) -> None:
    if card.task != "recognition":
        raise UsageError(f"{path}: {card.arch} is a detector; an n-gram model requires a recogniser.")
    from ocrctl.models.card import card_spec

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
