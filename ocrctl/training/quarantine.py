"""Keep the rebuilt batch of a non-finite step, with the weights before it, so that the step can be replayed.

RUN/quarantine/step-0000123/: batch.npz (the arrays of the batch, `ids` the draw numbers), weights.ckpt (model card and
weights before the step, or the present ones when a skipped step is found), base.ckpt (the --from model, of a step with
kept images), step.json (step, seed of the random state, precision, locations of the samples, what was found).
RUN/quarantine/excluded.json lists the samples that a run with `train.on_nonfinite=skip` no longer draws once it is
resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.data.datasets.share import joined
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.checkpoints import save_atomically, write_atomically
from ocrctl.training.distillation import DistillationObjective
from ocrctl.training.module import TrainingModule, step_seed
from ocrctl.training.nonfinite_samples import EXCLUDED, find_nonfinite_samples, read_excluded
from ocrctl.training.objectives import to_device


@dataclass(frozen=True)
class Found:
    """A non-finite step in quarantine: its folder (or the list, if only that was kept), a sentence on the cause, and
    whether single images cause it, be they new or kept ones."""

    folder: Path
    sentence: str
    of_images: bool


class Quarantine:
    """Keep the non-finite steps of one run."""

    def __init__(
        self,
        run: Path,
        rebuild: Callable[[list[int]], Any],
        locate: Callable[[int], tuple[tuple[int, int], str]],
        precision: str,
        locate_kept: Callable[[int], tuple[tuple[int, int], str]] | None = None,
    ) -> None:
        """`rebuild`: draw numbers to a batch (data.recognition.WordBatch). `locate`: a draw number to (source, index in
        it) and its location for messages; `locate_kept` the same of kept images (--keep)."""
        self.locate_kept = locate_kept
        self.folder, self.rebuild, self.locate, self.precision = run / "quarantine", rebuild, locate, precision

    def take(self, module: TrainingModule, step: int, broken: list[str] | None = None, *, stops: bool = True) -> Found:
        """Rebuild the batches of `step`, find their non-finite samples, and write the folder.

        Several processes must call it together: the first rebuilds the batches of all and writes them as those of one
        process. `broken` names weights that are not finite. A step that `stops` the run is kept whatever there is
        already, others until there are `train.max_quarantined` folders.
        Raises KeyError when `step` is older than the guard's last reading.
        """
        parts = dict(module.recent)[step]
        peers = module.peers
        every = peers.gather([[int(n) for n in ids.tolist()] for ids in parts])
        numbers = joined(every, module.train_settings.rounds)
        found = self._take(module, step, numbers, broken, stops=stops) if peers.first else None
        found = peers.of_first(found)
        assert found is not None
        return found

    def _take(
        self, module: TrainingModule, step: int, numbers: list[list[int]], broken: list[str] | None, *, stops: bool
    ) -> Found:
        flat = [n for part in numbers for n in part]
        folder = self.folder / f"step-{step:07d}"
        batches = [self.rebuild(part) for part in numbers]
        seed = step_seed(module.seed, step - 1)
        found = None
        if broken:
            sentence = f"{len(broken)} weights are not finite, first {broken[0]}"
        else:
            tensors = [to_device(to_tensors(batch), module.device) for batch in batches]
            found = find_nonfinite_samples(module.model, module.objective, tensors, seed, module.autocast)
            sentence = found.sentence(lambda n: self.locate(n)[1], self._kept_location)
        kept_numbers = [_kept_numbers(batch) for batch in batches]
        objective = module.objective
        meta = {
            "step": step, "seed": seed, "precision": self.precision, "device": module.device.type,
            "norm_frozen": module.model.norm_frozen, "freeze": module.train_settings.freeze,
            "label_smoothing": module.train_settings.label_smoothing,
            "broken": broken or [], "sizes": [len(part) for part in numbers],
            "samples": found.to_blame if found else [], "sentence": sentence,
            "locations": {n: self.locate(n)[1] for n in flat},
            "kept_sizes": [len(part) for part in kept_numbers],
            "kept_locations": {n: self._kept_location(n) for part in kept_numbers for n in part},
        }  # fmt: skip
        if isinstance(objective, DistillationObjective):
            meta |= {"keep_weight": objective.weight, "keep_temperature": objective.temperature}
        known = len(list(self.folder.glob("step-*"))) if self.folder.is_dir() else 0
        kept = stops or known < module.train_settings.max_quarantined
        if kept:
            folder.mkdir(parents=True, exist_ok=True)
            arrays = {f"{name}.{i}": value for i, batch in enumerate(batches) for name, value in _arrays(batch).items()}
            write_atomically(folder / "batch.npz", lambda file: np.savez(file, **arrays))
            _save_model(module.card, module.model, folder / "weights.ckpt")
            if isinstance(objective, DistillationObjective) and any(kept_numbers):
                _save_model(objective.base_card, objective.base, folder / "base.ckpt")
            text = json.dumps(meta, ensure_ascii=False, indent=1)
            write_atomically(folder / "step.json", lambda file: file.write(text.encode()))
        if found and found.to_exclude:
            self._exclude([self.locate(n)[0] for n in found.to_exclude])
        of_images = found is not None and bool(found.to_blame or found.kept_to_blame)
        return Found(folder if kept else self.folder / EXCLUDED, sentence, of_images)

    def _kept_location(self, number: int) -> str:
        return self.locate_kept(number)[1] if self.locate_kept else str(number)

    def _exclude(self, pairs: list[tuple[int, int]]) -> None:
        text = json.dumps(sorted({*read_excluded(self.folder.parent), *pairs}))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / EXCLUDED, lambda file: file.write(text.encode()))


def _kept_numbers(batch: Any) -> list[int]:
    """Return the draw numbers of the kept images of a batch, in their own stream."""
    kept = getattr(batch, "kept", None)
    return [] if kept is None else [int(n) for n in kept["ids"]]


def _save_model(card: ModelCard, model: OCRModel, path: Path) -> None:
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    save_atomically({CARD_KEY: card.to_json(), "state_dict": weights}, path)


def _arrays(batch: Any) -> dict[str, Any]:
    """Return the named arrays of a batch; targets of detectors are flattened to `targets/NAME`, outlines to
    `outlines/GROUP/NAME`, kept images to `kept/NAME`."""
    return dict(_flat("", vars(batch)))


def _flat(above: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{above}{name}/", value)
        elif value is not None:
            yield above + name, value
