"""Add to the texts of a batch where the model attended to: from cells of its features to the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ocrctl.inference.attended import Attention, Points
from ocrctl.inference.backend import SearchBackend
from ocrctl.inference.text_decoder import Recognition, TextDecoder


def add_attention(
    found: Sequence[Recognition],
    backend: SearchBackend,
    decoder: TextDecoder,
    batch: NDArray[np.uint8],
    widths: NDArray[np.int64] | None,
    logits: NDArray[np.float32] | None,
    *,
    explain: bool,
) -> list[Recognition]:
    """Return the texts of a batch with the positions of their characters and, with `explain`, their attention.

    found: with characters. batch, widths: as in Engine.logits. logits: those of a CTC model. The positions of CTC are
    those of its steps already.
    """
    if not any(one.text for one in found):
        return list(found)
    texts = [one.text for one in found]
    own = batch.shape[2] if widths is None else widths  # columns of each image
    if decoder.ctc:
        assert logits is not None
        spans = decoder.spans(logits, texts)
        attention = backend.step_attention(batch, widths)  # (N, T, h, w)
        cells = [
            np.stack([steps[first : last + 1].mean(0) for first, last in of]) if len(of) else steps[:0]
            for steps, of in zip(attention, spans, strict=True)
        ]
    else:
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)  # 0, the end, after each text
        for own_ids, text in zip(ids, texts, strict=True):
            own_ids[: len(text)] = decoder.classes(text)
        weights = backend.attention(batch, widths, ids)
        if weights is None:
            return list(found)
        cells = [rows[: len(text)] for rows, text in zip(weights, texts, strict=True)]
        sampled = backend.sampling_points(batch, widths, ids) if explain else None
    sizes = np.empty((len(texts), 2), np.float32)  # of a cell, as shares of each image
    sizes[:, 0] = decoder.cell_width(batch.shape[2], cells[0].shape[2]) / own
    sizes[:, 1] = 1 / cells[0].shape[1]
    results = []
    for row, (one, maps) in enumerate(zip(found, cells, strict=True)):
        if not one.text:
            results.append(one)
            continue
        reached = math.ceil(1 / sizes[row, 0] - 1e-3)  # columns; those behind are padding
        size = (float(sizes[row, 0]), float(sizes[row, 1]))
        seen = Attention(maps[:, :, :reached], size, "self" if decoder.ctc else "cross")
        if decoder.ctc:
            edges = (spans[row] + (0, 1)) * seen.size[0]
            results.append(replace(one, attention=replace(seen, steps=edges.clip(0.0, 1.0))))
            continue
        if sampled is not None:
            at, shares, outside = sampled
            length = len(one.text)
            on_image = (at[row, :length] * sizes[row]).clip(0.0, 1.0)
            points = Points(on_image, shares[row, :length], outside[row, :length])
            seen = replace(seen, kind="points", points=points)
        placed = one.placed(seen.centres())
        results.append(replace(placed, attention=seen) if explain else placed)
    return results
