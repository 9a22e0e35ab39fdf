"""Compare an exported detector with its checkpoint on random pages of several sizes and on the pages of a SPEC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.errors import UsageError
from ocrctl.export.parity import Parity
from ocrctl.export.parity_pages import PROBE_SIZES, compare_pages, probe_pages
from ocrctl.inference.engine import Engine
from ocrctl.inference.pages import Page
from ocrctl.inference.prefetch import default_jobs, map_ahead

T = TypeVar("T")
PROBE_BATCHES = (1, 3)  # one page, and an odd batch size that equals no other dimension


def open_pages(spec: str) -> Annotations:
    """Open the pages of `--verify`. Raises UsageError when the SPEC contains word images, InputError when it cannot be
    read."""
    data = open_annotations(spec)
    if data.words is not None:
        raise UsageError(f"--verify {spec}: contains word images, expected pages for a detector.")
    return data


def check_pages(
    torch_engine: Engine,
    onnx_engine: Engine,
    data: Annotations | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    same_weights: Engine | None = None,
) -> list[Parity]:
    """Compare both engines on seeded pages and on every page of `data`, preprocessed as in `predict`. same_weights: for
    the seeded pages, the torch engine with the weights of the file, where that rounds them.

    Raises InputError when an image cannot be read.
    """
    checks = []
    for count, size in zip(PROBE_BATCHES, PROBE_SIZES, strict=True):
        probes = [([f"probe {index}" for index in range(count)], probe_pages(count, size))]
        checks.append(
            compare_pages(same_weights or torch_engine, onnx_engine, f"batch of {count}, {size[0]}x{size[1]}", probes)
        )
    if data is not None:
        words = int((~data.ignore).sum())
        batches = counted(_pages(torch_engine, data), len(data.images), progress)
        checks.append(compare_pages(torch_engine, onnx_engine, data.name, batches, words))
    return checks


def counted(
    batches: Iterable[tuple[list[str], T]], total: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[list[str], T]]:
    """Yield (names, samples) batches and call `progress` with (samples done, total)."""
    done = 0
    for names, batch in batches:
        progress(done, total)
        yield names, batch
        done += len(names)
    progress(done, total)


def _pages(engine: Engine, data: Annotations) -> Iterator[tuple[list[str], list[Page]]]:
    def load(image: int) -> tuple[list[str], list[Page]]:
        where = data.image_where(image)
        return [where], [engine.prepare_page(decode(data.image_bytes(image), where))]

    return map_ahead(load, range(len(data.images)), default_jobs())
