"""Compare an imported PP-OCR detector and its export with the published ONNX file: probabilities and boxes.

    python benchmarks/ppocr_boxes.py PUBLISHED.onnx SPEC MODEL... [--limit 100]

PUBLISHED.onnx runs in ONNX Runtime on the same resized pages, in BGR as x / 127.5 - 1, and its map is postprocessed by
the same function with the same thresholds. MODEL: what `model import` wrote, and what `export` made of it. Boxes are
equal when there are as many and no corner is more than 1.5 pixels of the map away, the rule of `export --verify`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime

from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.formats.spec import open_annotations
from ocrctl.inference.engine import Engine
from ocrctl.models.find import find

MOVED = 1.5  # pixels of the map


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("spec")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--limit", type=int, default=100, help="pages")
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(args.published), options, providers=["CPUExecutionProvider"])
    source = PageSource(open_annotations(args.spec))
    engines = [Engine.load(model, device="cpu", threads=1) for model in args.models]
    count = min(args.limit, len(source))
    gaps: dict[str, list[float]] = {model: [] for model in args.models}
    moves: dict[str, list[float]] = {model: [] for model in args.models}
    boxes = 0
    for index in range(count):
        image, _ = source.page(index)
        page = engines[0].prepare_page(image)
        tensor = page.image[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        (theirs,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(tensor)})
        probability = np.clip(theirs[0, 0].astype(np.float64), 1e-12, 1 - 1e-7)
        logits = np.log(probability / (1 - probability)).astype(np.float32)
        for model, engine in zip(args.models, engines, strict=True):
            (maps,) = engine.maps([page])
            card = engine.card
            wanted = find(card.arch, {"probability": logits}, card.thresholds)
            found = find(card.arch, maps, card.thresholds)
            gaps[model].append(float(np.abs(theirs[0, 0] - 1 / (1 + np.exp(-maps["probability"]))).max()))
            same = np.array_equal(wanted.offsets, found.offsets)
            moves[model].append(float(np.abs(wanted.points - found.points).max(initial=0)) if same else float("inf"))
            boxes += len(wanted) if engine is engines[0] else 0
    for model in args.models:
        moved = np.array(moves[model])
        finite = moved[np.isfinite(moved)]
        print(
            f"{model}: {int((moved <= MOVED).sum())} of {count} pages with equal boxes ({boxes} boxes), "
            f"{int((moved == 0).sum())} to the last bit; corners moved by at most {finite.max(initial=0):.2f} pixels; "
            f"probabilities within {max(gaps[model]):.1e}, median page {np.median(gaps[model]):.1e}"
        )


if __name__ == "__main__":
    main()
