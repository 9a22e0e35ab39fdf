"""Do PyTorch, ONNX Runtime and the authors' own code read the same strings with a trained PARSeq, both ways of reading?

    python benchmarks/same_strings.py RUN SPEC [--count 3000] [--reference PATH] [--no-onnx] [--threads 2]

RUN is a run folder or checkpoint, SPEC a labelled set; the first `count` words are read. PATH is a checkout of
baudm/parseq; its requirements (timm, pytorch_lightning, nltk) must be importable. One JSON line for each pair: words,
strings that differ, largest difference of a logit up to the end of a text. Ends with 1 when a string differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ocrctl.data.formats.spec import open_source
from ocrctl.data.images.decode import decode
from ocrctl.export.onnx import to_onnx, write_onnx
from ocrctl.inference.engine import Engine
from ocrctl.inference.locate import ModelFile, locate
from ocrctl.inference.onnx_backend import OnnxBackend
from ocrctl.models.build import build_trained
from ocrctl.models.card import with_decoding
from ocrctl.models.checkpoint import load_checkpoint

BATCH = 50
Reads = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # prepared (N, H, W, C) to logits (N, T, K)


def batches(engine: Engine, spec: str, count: int) -> Iterator[NDArray[np.uint8]]:
    """The first `count` images of `spec`, prepared."""
    source = open_source(spec)
    for start in range(0, min(count, len(source)), BATCH):
        places = range(start, min(start + BATCH, count, len(source)))
        yield np.stack([engine.prepare(decode(source.image_bytes(at), source.where(at))) for at in places])


def onnx_reads(run: str, decoding: str, folder: str, threads: int) -> Reads:
    """The exported graph."""
    file = locate(run)
    card, state = load_checkpoint(file.path)
    card = with_decoding(card, decoding, file.path)
    model = build_trained(card, state, file.path)
    path = Path(folder) / f"{decoding}.onnx"
    write_onnx(to_onnx(model, card), path)
    return Engine(ModelFile(path, "onnx", decoding), OnnxBackend(path, "cpu", threads)).logits


def reference_reads(run: str, decoding: str, checkout: str) -> Reads:
    """The authors' system with the same weights."""
    if checkout not in sys.path:
        sys.path.insert(0, checkout)
    from strhub.models.utils import create_model

    card, state = load_checkpoint(locate(run).path)
    system = create_model(card.arch, charset_train=card.charset, charset_test=card.charset).eval()
    system.model.load_state_dict(state)
    system.model.decode_ar, system.model.refine_iters = decoding == "ar", int(card.model.get("refine", 1))

    def read(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            return system((images / 255 - card.mean) / card.std).numpy()

    return read


def compare(engine: Engine, other: Reads, pictures: list[NDArray[np.uint8]]) -> dict[str, object]:
    """Strings that differ, the largest gap up to the end of a text, seconds of each."""
    differing, gap, ours_s, theirs_s, texts = 0, 0.0, 0.0, 0.0, set()
    for batch in pictures:
        start = time.perf_counter()
        ours = engine.logits(batch)
        middle = time.perf_counter()
        theirs = other(batch)
        ours_s, theirs_s = ours_s + middle - start, theirs_s + time.perf_counter() - middle
        one, two = engine.decode(ours), engine.decode(theirs)
        differing += sum(a.text != b.text for a, b in zip(one, two, strict=True))
        steps = min(ours.shape[1], theirs.shape[1])
        ends = (ours[:, :steps].argmax(2) == 0).astype(int)
        before = ends.cumsum(1) - ends == 0
        gap = max(gap, float(np.abs(ours[:, :steps] - theirs[:, :steps])[before].max()))
        texts |= {result.text for result in one}
    return {"differing": differing, "largest_gap": gap, "different_texts": len(texts),
            "seconds": round(ours_s, 1), "seconds_other": round(theirs_s, 1)}  # fmt: skip


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("spec")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--reference", metavar="PATH")
    parser.add_argument("--no-onnx", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for decoding in ("ar", "nar"):
            engine = Engine.load(options.run, device="cpu", decoding=decoding)
            pictures = list(batches(engine, options.spec, options.count))
            others: dict[str, Reads] = {}
            if not options.no_onnx:
                others["onnx"] = onnx_reads(options.run, decoding, folder, options.threads)
            if options.reference:
                others["reference"] = reference_reads(options.run, decoding, options.reference)
            for name, reads in others.items():
                found = compare(engine, reads, pictures)
                wrong += int(str(found["differing"]))
                print(json.dumps({"decoding": decoding, "other": name, "words": sum(map(len, pictures)), **found}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
