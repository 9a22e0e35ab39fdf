"""Time and size of the ONNX export of an architecture with random weights, and the time of its graph.

    python benchmarks/export_time.py ARCH... [--decoding ar|nar]

CPU seconds of the process for the graph alone, without the parity checks of `ocrctl export`; nodes of the graph and of
the graphs inside it; milliseconds for one image and for 64 with ONNX Runtime on one thread, medians of seven, and the
largest difference of logits from PyTorch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import onnxruntime
import torch

from ocrctl.config.model_card import recognition_card
from ocrctl.export.named_weights import graphs
from ocrctl.export.onnx import to_onnx
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import ASCII94


def measure(arch: str, decoding: str) -> dict[str, object]:
    """Export one architecture."""
    torch.manual_seed(0)
    spec = get_spec(arch)
    card = recognition_card(spec, ASCII94, model={"decoding": decoding} if len(spec.decodings) > 1 else {})
    model = build_model(card).eval()
    start = time.process_time()
    proto = to_onnx(model, card)
    seconds = time.process_time() - start
    row: dict[str, object] = {"arch": arch, "decoding": decoding, "export_cpu_s": round(seconds, 1)}
    row["nodes"] = sum(len(graph.node) for graph in graphs(proto.graph))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for batch in (1, 64):
        images = np.random.default_rng(0).integers(0, 256, (batch, card.channels, card.height, card.width), np.uint8)
        taken = []
        for _ in range(8):
            start = time.process_time()
            (logits,) = session.run(["logits"], {"images": images})
            taken.append(time.process_time() - start)
        row[f"batch_{batch}_ms"] = round(1000 * statistics.median(taken[1:]), 1)
        with torch.inference_mode():
            row[f"batch_{batch}_difference"] = float(np.abs(model(torch.from_numpy(images))["logits"] - logits).max())
    return row


def main() -> None:
    """Print one line for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch", nargs="+")
    parser.add_argument("--decoding", default="ar")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for arch in options.arch:
        print(json.dumps(measure(arch, options.decoding)), flush=True)


if __name__ == "__main__":
    main()
