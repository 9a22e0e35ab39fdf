"""Load a model once per process and run it: images as arrays in, text or outlines out, without files in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images.orientations import TURNS, best_orientation, on_upright, orientations
from ocrctl.data.images.resize_word import resize_kept, resize_word, word_batches
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.backend import Backend, SearchBackend
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.locate import ModelFile, locate
from ocrctl.inference.prefetch import chunks
from ocrctl.inference.text_decoder import Candidate, Character, Recognition, TextDecoder
from ocrctl.models.finite_arrays import not_finite_output
from ocrctl.models.registry import get_spec, specs
from ocrctl.runtime import driver_gpu_count, parse_device

if TYPE_CHECKING:  # modules of pages are imported for a detector, which recognisers do not need
    from ocrctl.inference.pages import Page
    from ocrctl.models.outlines.detections import Detections

SORTED_BATCHES = 4  # batches that are sorted by width at a time
__all__ = ["TASKS", "Backend", "Character", "Engine", "Recognition"]
TASKS = {"recognition": "reads words", "detection": "finds text on pages"}


class Engine:
    """A recogniser or a detector; `Engine.load("runs/last").recognize([rgb_array, ...])`, or `.detect`, is its use.

    card: the model's own charset, preprocessing and thresholds; device: where it runs; backend: "torch" or "onnx";
    note: a remark on how it was loaded, "" without one; explains: whether every text holds what was attended to.
    """

    explains = False

    def __init__(
        self, file: ModelFile, backend: Backend, decoding: Decoding | None = None, *, explain: bool = False
    ) -> None:
        """Wrap a loaded model; call `load` instead. Raises InputError for a model that this version does not
        support, and for a lexicon or allowlist of which it can read nothing, UsageError for a search that it does not
        support, and with `explain` for a model whose attention is not known."""
        self.card = backend.card
        if self.card.task not in TASKS:
            raise InputError(f"{file.path}: expected a recogniser or a detector, found one for '{self.card.task}'.")
        if self.detects:
            from ocrctl.inference.pages import check_detector

            check_detector(self.card, file.path)
        weighted = decoding is not None and decoding.ngram_weight is not None
        if self.detects and decoding is not None and (decoding.beam or decoding.allowlist or weighted):
            ranked = decoding.ngram or weighted
            what = "an n-gram model" if ranked else "beam search" if decoding.beam else "an allowlist"
            raise UsageError(f"{file.path}: {self.card.arch} is a detector; {what} requires a recogniser.")
        self.path, self.name = file.path, file.name
        self.backend, self.device, self.note = backend.name, backend.device, backend.note
        self._backend = backend
        try:
            self._decoder = None if self.detects else TextDecoder(self.card, decoding or Decoding())
        except UsageError as error:  # an architecture that this version does not have
            raise InputError(f"{file.path}: {error.message}", hint="upgrade with: pip install -U ocrctl") from error
        except InputError as error:
            if decoding is not None and error.message.startswith(decoding.files):  # their text, not the model
                raise
            raise InputError(f"{file.path}: {error.message}", hint=error.hint) from error
        if self._decoder is not None:
            if weighted and not self._decoder.has_ngram:
                raise UsageError(f"{file.path}: a weight of an n-gram model requires one.", hint="--ngram SOURCE")
            self.note = "; ".join(filter(None, (self.note, self._decoder.note)))
            if self._decoder.searches_model:
                self._searched().check_search()
            if self._decoder.allowed is not None and not self._decoder.ctc:
                self._searched().allow(self._decoder.allowed)
        if explain:
            self._check_explains()
        self.explains = explain

    @property
    def detects(self) -> bool:
        """Return whether the model is a detector; else it is a recogniser."""
        return self.card.task == "detection"

    @classmethod
    def load(
        cls,
        model: str | Path,
        device: str = "auto",
        threads: int | None = None,
        decoding: str | Decoding | None = None,
        *,
        explain: bool = False,
    ) -> Engine:
        """Load `model` (checkpoint, ONNX file, export bundle, run folder), or return it if this process has loaded it.

        device: auto, cpu, cuda or cuda:INDEX; threads: CPU threads (None: the runtime's own choice);
        decoding: greedy, beam:WIDTH, ar or nar (None: greedy, with the n-gram model of the card a beam search, an
        autoregressive model as it was trained or exported to), or a `Decoding` with a lexicon, an n-gram model or an
        allowlist;
        explain: give every text its characters and what the model attended to for each (`Recognition.attention`).
        Raises UsageError, InputError (no model there) or MissingRequirement (CUDA asked for and not usable).
        """
        parse_device(device)
        decoding = decoding if isinstance(decoding, Decoding) else Decoding.parse(decoding)
        file = locate(model)
        key = (str(file.path.resolve()), device, threads, decoding, explain)
        read = [str(file.path), *decoding.files]
        stamp = tuple((status.st_mtime_ns, status.st_size) for status in map(os.stat, filter(os.path.exists, read)))
        with _lock:
            cached = _loaded.get(key)
            if cached is None or cached[0] != stamp:  # a file has changed: load it again
                backend = _open_backend(file, device, threads, decoding.mode)
                cached = (stamp, cls(file, backend, decoding, explain=explain))
                _loaded[key] = cached
            return cached[1]

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize RGB uint8 (h, w, 3) to the model's input uint8 (H, W, C), as in training; W depends on the image where
        the model keeps the aspect ratio.

        Raises InputError for another array, UsageError when the model is a detector.
        """
        self._expect("recognition")
        card = self.card
        if card.kept is not None:
            return resize_kept(image, card.height, card.kept, card.channels)
        return resize_word(image, card.height, card.width, card.channels)

    def prepare_orientations(self, image: NDArray[np.uint8], turn: float | None = None) -> list[NDArray[np.uint8]]:
        """Prepare RGB uint8 (h, w, 3) in every orientation that it is read in, for `recognize_orientations`: upright,
        and where it is tall also turned by 90 degrees to either side.

        turn: height over width from which it is turned, 0 never; None: as the card says (KeptAspect.tall). Raises as
        `prepare` does.
        """
        upright = self.prepare(image)
        ratio = turn if turn is not None else self.card.kept.tall if self.card.kept else 0.0
        if not 0 < ratio * image.shape[1] <= image.shape[0]:
            return [upright]
        return [upright, *(self.prepare(turned) for turned in orientations(image)[1:])]

    def batches(
        self, images: Sequence[NDArray[np.uint8]], batch_size: int = 64
    ) -> list[tuple[list[int], NDArray[np.uint8], NDArray[np.int64] | None]]:
        """Divide prepared images into batches for `logits`: (their indices, uint8 (N, H, W, C), widths or None).

        A model that keeps the aspect ratio gets images of similar width together, in batches of as many pixels as
        `batch_size` images four times as wide as high have.
        """
        return list(word_batches(images, batch_size, self.card.kept, self.card.example_width))

    def logits(self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Run prepared images uint8 (N, H, W, C); returns float32 (N, T, K): T steps, K classes, class 0 the blank or
        the end.

        widths: int64 (N,), the columns of each image, which a model that keeps the aspect ratio requires: W is that of
        `KeptAspect.batch_width`. Raises UsageError when the model is a detector, InputError for logits that are not
        finite.
        """
        self._check_batch(batch, widths)
        return self._outputs(batch, widths)["logits"]

    def recognize_prepared(
        self,
        images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        batch_size: int = 64,
        *,
        characters: bool = False,
    ) -> list[Recognition]:
        """Recognise prepared images, each uint8 (H, W, C), in the batches that `batches` makes, as they are; results in
        order. characters: with the confidence and position of each character."""
        results: list[Recognition | None] = [None] * len(images)
        for rows, batch, widths in self.batches(list(images), batch_size):
            for row, found in zip(rows, self._read(batch, widths, characters), strict=True):
                results[row] = found
        return [found for found in results if found is not None]

    def recognize_orientations(
        self, images: Sequence[Sequence[NDArray[np.uint8]]], batch_size: int = 64, *, characters: bool = False
    ) -> list[Recognition]:
        """Recognise images that `prepare_orientations` has prepared: the most confident reading of each, in order.
        characters: as in `recognize`."""
        views = [one for views in images for one in views]
        found = self.recognize_prepared(views, batch_size, characters=characters)
        return most_confident(found, [len(views) for views in images])

    def chunk_size(self, batch_size: int) -> int:
        """Return how many images to prepare before they are read: more than one batch where images are sorted by
        width."""
        return batch_size if self.card.kept is None else SORTED_BATCHES * batch_size

    def decode(self, logits: NDArray[np.float32]) -> list[Recognition]:
        """Decode logits float32 (N, T, K) to one Recognition per row: by the best class of each step, or those of CTC
        by the beam search, lexicon and n-gram model that the engine was loaded with."""
        self._expect("recognition")
        assert self._decoder is not None
        return self._decoder.decode(logits)

    def _read(self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None, characters: bool) -> list[Recognition]:
        """Recognise one batch of prepared images."""
        decoder = self._decoder
        characters = characters or self.explains
        if decoder is None or not (decoder.searches_model or characters):
            return self.decode(self.logits(batch, widths))
        logits = None
        if decoder.searches_model:
            found = [decoder.choose(one, characters=characters) for one in self._candidates(batch, widths)]
        else:
            logits = self.logits(batch, widths)
            found = decoder.decode(logits, widths, characters=characters)
        backend = self._backend
        attends = self.explains or (characters and not decoder.ctc)
        if not attends or not isinstance(backend, SearchBackend):
            return found
        from ocrctl.inference.add_attention import add_attention

        return add_attention(found, backend, decoder, batch, widths, logits, explain=self.explains)

    def _candidates(self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None) -> list[list[Candidate]]:
        """Search an autoregressive model; returns the candidates of each image."""
        self._check_batch(batch, widths)
        assert self._decoder is not None
        search, lexicon = self._decoder.decoding, self._decoder.lexicon
        ids, steps, scores = self._searched().beams(batch, widths, search.beam, search.power, lexicon)
        if np.isnan(scores).any():
            raise self._not_finite(f"the model's logits hold NaN for {np.isnan(scores).any(1).sum()} images")
        found = []
        for image_ids, image_steps, image_scores in zip(ids, steps, scores, strict=True):
            lengths = (image_ids > 0).sum(1)
            rows = np.flatnonzero(image_scores > -np.inf)
            parts = [(image_ids[row, : lengths[row]], image_steps[row, : lengths[row] + 1]) for row in rows]
            found.append([Candidate(one.tolist(), float(log.sum()), log.tolist()) for one, log in parts])
        return found

    def recognize(
        self,
        images: Iterable[NDArray[np.uint8]],
        batch_size: int = 64,
        turn: float | None = None,
        *,
        characters: bool = False,
    ) -> list[Recognition]:
        """Recognise RGB uint8 images (h, w, 3) of any sizes; one Recognition each, in input order.

        turn: as in `prepare_orientations`. characters: with the confidence and position of each character; the position
        is NaN where the model does not tell it. Raises UsageError when the model is a detector or the batch size below
        1, InputError for another array.
        """
        self._expect("recognition", batch_size)
        results: list[Recognition] = []
        prepared = (self.prepare_orientations(image, turn) for image in images)
        for chunk in chunks(prepared, self.chunk_size(batch_size)):
            results.extend(self.recognize_orientations(chunk, batch_size, characters=characters))
        return results

    def detect(
        self, images: Sequence[NDArray[np.uint8]], polygons: bool = False, batch_size: int = 1
    ) -> list[Detections]:
        """Detect text on RGB uint8 images (h, w, 3) of any sizes; outlines in pixels of each image, in input order.

        polygons: outlines of any form instead of rectangles; batch_size: pages of one size that share a forward pass.
        Raises UsageError when the model is a recogniser or the batch size below 1, InputError for
        another array and for maps with non-finite values.
        """
        from ocrctl.inference.pages import same_sized

        self._expect("detection", batch_size)
        results: list[Detections] = []
        for batch in same_sized((self.prepare_page(image) for image in images), batch_size):
            maps = self.maps(batch)
            results += [self.find(one, page, polygons) for one, page in zip(maps, batch, strict=True)]
        return results

    def prepare_page(self, image: NDArray[np.uint8]) -> Page:
        """Resize RGB uint8 (h, w, 3) to the model's input, as in validation; returns it with its scale.

        Raises InputError for another array, UsageError when the model is a recogniser.
        """
        from ocrctl.inference.pages import prepare_page

        self._expect("detection")
        return prepare_page(image, self.card)

    def maps(self, pages: Sequence[Page]) -> list[dict[str, NDArray[np.float32]]]:
        """Compute the output maps of prepared pages of one size."""
        self._expect("detection")
        outputs = self._outputs(np.stack([page.image for page in pages]))
        return [{name: values[row] for name, values in outputs.items()} for row in range(len(pages))]

    def find(
        self, maps: Mapping[str, NDArray[np.float32]], page: Page, polygons: bool = False, below_threshold: bool = False
    ) -> Detections:
        """Find outlines in `maps`, in pixels of the original image of `page`, by the card's thresholds.

        below_threshold: also outlines with a score below `score_threshold`. Raises InputError for values that
        are not finite.
        """
        from ocrctl.inference.pages import find_boxes

        return find_boxes(maps, page, self.card, self.path, polygons=polygons, below_threshold=below_threshold)

    def _outputs(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        outputs = self._backend.outputs(batch) if widths is None else self._backend.outputs(batch, widths)
        for name, values in outputs.items():
            if held := not_finite_output(name, values):
                raise self._not_finite(held)
        return outputs

    def _searched(self) -> SearchBackend:
        """Return the backend for a search. Raises UsageError when it has none: a graph contains its greedy loop."""
        if not isinstance(self._backend, SearchBackend):
            raise UsageError(
                f"{self.path}: its graph reads greedily; beam search, a lexicon, an n-gram model and an allowlist of "
                f"{self.card.arch} require the checkpoint.",
                hint="leave the option out, or use the checkpoint",
            )
        return self._backend

    def _check_explains(self) -> None:
        """Raise UsageError when what the model attends to is not known."""
        arch = self.card.arch
        if self.detects:
            raise UsageError(f"{self.path}: {arch} is a detector; an explanation requires a recogniser.")
        if not get_spec(arch).attention:
            known = ", ".join(sorted({spec.family for spec in specs().values() if spec.attention}))
            raise UsageError(
                f"{self.path}: {arch} cannot be explained; models whose attention is known are {known}.",
                hint="--characters tells the position of each character",
            )
        if not isinstance(self._backend, SearchBackend):
            raise UsageError(
                f"{self.path}: ONNX Runtime gives no attention; an explanation requires the checkpoint.",
                hint="name the run folder or the .ckpt file that it was exported from",
            )

    def _not_finite(self, held: str) -> InputError:
        return InputError(
            f"{self.path}: {held}: its results would be nonsense.",
            hint="use an older checkpoint; a model trained in 16-mixed may need train.precision=32-true",
        )

    def _check_batch(self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None) -> None:
        """Raise UsageError when the model is a detector, ValueError for another batch than `batches` makes."""
        self._expect("recognition")
        kept = self.card.kept
        if kept is not None and widths is not None and widths.shape == batch.shape[:1] and len(widths):
            width = max(batch.shape[2], kept.batch_width(int(widths.max())))
            width = -(-width // kept.multiple) * kept.multiple
        else:
            width = -1 if kept is not None or widths is not None else self.card.width
        wanted = (self.card.height, width, self.card.channels)
        if batch.dtype != np.uint8 or batch.shape[1:] != wanted:
            of = f"(N, {wanted})" if kept is None else f"(N, {wanted[0]}, W, {wanted[2]}) with widths (N,)"
            raise ValueError(f"expected a prepared uint8 batch {of}, got {batch.dtype} {batch.shape}")

    def _expect(self, task: str, batch_size: int = 1) -> None:
        if self.card.task != task:
            found, wanted = TASKS[self.card.task], TASKS[task]
            raise UsageError(f"{self.path}: {self.card.arch} {found}; expected a model that {wanted}.")
        if batch_size < 1:
            raise UsageError(f"batch_size should be 1 or more, found {batch_size}.")


def most_confident(readings: Sequence[Recognition], counts: Sequence[int]) -> list[Recognition]:
    """Return the most confident of every `counts` consecutive readings, those of one word in its orientations;
    characters are placed on the upright image."""
    results, start = [], 0
    for count in counts:
        of_word = readings[start : start + count]
        best = best_orientation([one.confidence for one in of_word])
        found = of_word[best]
        if best and found.characters:
            found = found.placed(on_upright(found.positions, best))
        if best and found.attention is not None:
            found = replace(found, attention=replace(found.attention, turns=TURNS[best]))
        results.append(found)
        start += count
    return results


def uses_gpu(device: str) -> bool:
    """Return whether `device` (parse_device) means a GPU on this machine."""
    kind, _ = parse_device(device)
    return kind == "cuda" or (kind == "auto" and driver_gpu_count() > 0)


def _open_backend(file: ModelFile, device: str, threads: int | None, decoding: str | None) -> Backend:
    # Imported on demand: an ONNX file is run without importing torch, a checkpoint without onnxruntime.
    if file.kind == "onnx":
        from ocrctl.inference.onnx_backend import OnnxBackend

        return OnnxBackend(file.path, device, threads, decoding)
    if file.graph is not None and not uses_gpu(device):  # PyTorch runs on any GPU, ONNX Runtime as shipped on none
        from ocrctl.inference.onnx_backend import OnnxBackend
        from ocrctl.inference.published_graph import published_graph

        return OnnxBackend(file.path, device, threads, decoding, published_graph(file.path, file.graph))
    from ocrctl.inference.torch_backend import TorchBackend

    return TorchBackend(file.path, device, threads, decoding)


_loaded: dict[tuple[str, str, int | None, Decoding, bool], tuple[tuple[tuple[int, int], ...], Engine]] = {}
_lock = threading.Lock()
