"""Time and parity of `ocrctl export --verify` for recognisers with random weights.

    ocrctl dataset split IIIT5K_TEST parts --part rest=5 --part verify=1     # 500 words
    python benchmarks/export_parity.py --verify parts/verify [ARCH...] [--keep] [--class-gain G]

Without ARCH every recogniser is exported, in its default size and charset, each in a process of its own with one
thread. Seconds are those of this process, CPU and wall: first its imports, the graph, and the comparisons of a batch of
1 and one of 17, then the comparison of the words. The largest difference of a logit is that of all three. --keep: with
the aspect ratio kept, where the architecture allows it and does not require it.

Random weights read one text in all images, which `export` refuses to compare. So batch normalisation gets the
statistics of a few words, the features of the encoder are scaled to mean 0 and deviation 1, what a decoder reads from
the image outweighs what it read before, and the classes are made equally frequent. `texts` counts the different texts.
All this multiplies rounding errors as well: --class-gain lowers the last factor, for models whose float32 logits are
then further from their float64 logits than the export may be.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ocrctl.config.model_card import CARD_KEY, ModelCard, recognition_card
from ocrctl.config.model_spec import ModelSpec
from ocrctl.core.eval.word_samples import open_samples
from ocrctl.core.export.run import ExportOptions, export
from ocrctl.data.datasets.recognition import resize_for
from ocrctl.data.images.resize_word import pad_words
from ocrctl.inference.engine import Engine
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec, specs
from ocrctl.text.charset import BUILTIN

CALIBRATION = 16  # words whose features and classes are centred
IMAGE_GAIN, CLASS_GAIN = 20.0, 20.0  # of what a decoder reads from the image, and of the classes


def words(spec: ModelSpec, card: ModelCard, verify: str) -> dict[str, Tensor]:
    """Return a few words of the dataset as arguments of the model."""
    [source] = open_samples([verify], [card], None, 0, [])
    step = max(1, len(source.labels) // CALIBRATION)
    images = [resize_for(source.image(index), spec) for index in range(0, step * CALIBRATION, step)]
    if card.kept is None:
        return {"images": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)}
    batch, widths = pad_words(images, card.kept)
    return {"images": torch.from_numpy(batch).permute(0, 3, 1, 2), "widths": torch.from_numpy(widths)}


@torch.no_grad()
def differ(model: OCRModel, given: dict[str, Tensor], class_gain: float) -> None:
    """Change random weights so that the texts of images differ."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    model.encoder.train()
    model.encode_images(**given)
    model.eval()
    for name, weight in model.named_parameters():
        if re.search(r"cross_attn\.(out|out_proj)\.weight$", name):
            weight.mul_(IMAGE_GAIN)
        elif name in model.class_tensors and weight.ndim == 2 and "embed" not in name:
            weight.mul_(class_gain)
    features: list[Tensor] = []
    norm = getattr(model.encoder, "norm", None)
    if isinstance(norm, nn.LayerNorm):
        with norm.register_forward_hook(lambda module, inputs, output: features.append(output)):
            model(**given)
        found = features[0].flatten(0, -2)  # (all cells, D)
        norm.weight.div_(found.std(0))
        norm.bias.copy_((norm.bias - found.mean(0)) / found.std(0))
    bias = next(weight for name, weight in model.named_parameters() if name in model.class_tensors and weight.ndim == 1)
    for _ in range(3):  # in an autoregressive model each text changes with the bias
        logits = model(**given)["logits"]
        bias -= logits[logits[..., 1] > -1e3].mean(0)  # without the steps beyond an image


def checkpoint(spec: ModelSpec, verify: str, folder: Path, class_gain: float) -> Path:
    """Write best.ckpt of a model with random weights."""
    torch.manual_seed(0)
    card = recognition_card(spec, BUILTIN[spec.default_charset])
    model = build_model(card).eval()
    differ(model, words(spec, card, verify), class_gain)
    path = folder / spec.name / "best.ckpt"
    path.parent.mkdir(parents=True)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)
    return path


def exported(path: Path, out: Path, verify: str, started: float) -> dict[str, object]:
    """Export `path` in this process, which has done nothing else; `started` is the time at which it was asked for."""
    reached: dict[str, tuple[float, float]] = {}

    def stage(line: str) -> None:
        reached["verifying" if line.endswith(verify) else line] = time.process_time(), time.time() - started

    torch.set_num_threads(1)
    report = export(ExportOptions([str(path)], out, verify), report=stage)
    [model], ends = report.models, (time.process_time(), time.time() - started)
    cpu, wall = reached["verifying"]
    row: dict[str, object] = {"cpu_s": round(cpu, 1), "wall_s": round(wall, 1)}
    row["verify_cpu_s"], row["verify_wall_s"] = round(ends[0] - cpu, 1), round(ends[1] - wall, 1)
    last = model.checks[-1]
    row["logits"], row["logits_relative"] = (
        float(f"{max(values):.1e}")
        for values in zip(*((check.max_abs_diff, check.max_diff) for check in model.checks), strict=True)
    )
    row["equal"] = f"{last.samples - len(last.differing)} of {last.samples}"
    row["failures"] = model.failures
    return row


def measure(spec: ModelSpec, verify: str, class_gain: float) -> dict[str, object]:
    """Export one architecture in a process of its own, and count the texts that it reads."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = checkpoint(spec, verify, Path(folder), class_gain), Path(folder) / "out"
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            row = pool.submit(exported, path, out, verify, time.time()).result()
        if not row["failures"]:
            row["texts"] = len(texts(out, verify))
        return {"arch": spec.name, "resize": spec.resize, **row}


def texts(model: Path, verify: str) -> set[str]:
    """Return the different texts that an exported file reads."""
    engine = Engine.load(model, device="cpu")
    [source] = open_samples([verify], [engine.card], None, 0, [])
    images = [engine.prepare_orientations(source.image(index)) for index in range(len(source.labels))]
    return {result.text for result in engine.recognize_orientations(images)}


def main() -> None:
    """Print one line for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch", nargs="*")
    parser.add_argument("--verify", required=True, metavar="SPEC")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--class-gain", type=float, default=CLASS_GAIN, metavar="G")
    options = parser.parse_args()
    recognisers = [name for name, spec in specs().items() if spec.task == "recognition"]
    for arch in options.arch or recognisers:
        spec = get_spec(arch)
        if options.keep and spec.resizes == ("stretch", "keep"):
            spec = spec.with_resize("keep")
        print(json.dumps(measure(spec, options.verify, options.class_gain)), flush=True)


if __name__ == "__main__":
    main()
