"""Does an imported recogniser of EasyOCR read as EasyOCR's own code does?

    python benchmarks/published_words.py english_g2.pth SPEC --reference CHECKOUT [--count N] [--threads 1]

SPEC is a labelled set of word images, CHECKOUT a checkout of JaidedAI/EasyOCR; only its network is imported, not the
package, which requires torchvision. Each image is read three times: by ocrctl; by their network on the input of ocrctl
(their right padding included: the last column is repeated up to a multiple of 64); and by their network on the input
of their own preprocessing, without their quantisation and their second reading with more contrast. One JSON object:
largest difference of a logit, strings that differ, and accuracy in percent, exact and of 36 characters.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ocrctl.data.formats.spec import open_source
from ocrctl.data.images.decode import decode
from ocrctl.inference.engine import Engine
from ocrctl.metrics.recognition import score
from ocrctl.models.weight_file import read_weight_file

HEIGHT = 64


def their_network(checkout: Path, weights: Path) -> torch.nn.Module:
    """Their network with the weights of the file."""
    package = types.ModuleType("easyocr")
    package.__path__ = [str(checkout / "easyocr")]
    sys.modules["easyocr"] = package
    for name in ("torchvision", "torchvision.models"):  # imported by their modules, used by their detector alone
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision"].models = sys.modules["torchvision.models"]  # type: ignore[attr-defined]
    from easyocr.model.vgg_model import Model  # type: ignore[import-not-found]

    held = {name: torch.from_numpy(value.copy()) for name, value in read_weight_file(weights).tensors.items()}
    classes = held["Prediction.weight"].shape[0]
    network: torch.nn.Module = Model(input_channel=1, output_channel=256, hidden_size=256, num_class=classes)
    network.load_state_dict(held)
    return network.eval()


def their_input(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (64, W) as their `get_image_list` and `AlignCollate` make it: height 64, then the last column repeated."""
    from PIL import Image

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    ratio = width / height
    if ratio < 1:
        ratio = 1 / ratio
        grey = cv2.resize(grey, (HEIGHT, int(HEIGHT * ratio)), interpolation=cv2.INTER_LINEAR)
    else:
        grey = cv2.resize(grey, (int(HEIGHT * ratio), HEIGHT), interpolation=cv2.INTER_LINEAR)
    padded = math.ceil(ratio) * HEIGHT
    wanted = min(padded, math.ceil(HEIGHT * grey.shape[1] / grey.shape[0]))
    shown = np.asarray(Image.fromarray(grey).resize((wanted, HEIGHT), Image.Resampling.BICUBIC))
    return np.pad(shown, ((0, 0), (0, padded - shown.shape[1])), mode="edge")


def our_input(engine: Engine, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (64, W) as ocrctl resizes it, padded as its network does it."""
    shown = engine.prepare(image)[:, :, 0]
    kept = engine.card.kept
    assert kept is not None
    return np.pad(shown, ((0, 0), (0, kept.counted(shown.shape[1]) - shown.shape[1])), mode="edge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("spec")
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = Engine.load(options.weights, device="cpu", threads=options.threads)
    network = their_network(options.reference, options.weights)

    def theirs(shown: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (1, T, K) of their network for grey (64, W)."""
        with torch.inference_mode():
            pixels = torch.from_numpy(shown.copy())[None, None].float().div(255).sub_(0.5).div_(0.5)
            found: NDArray[np.float32] = network(pixels, None).numpy()
        return found

    source = open_source(options.spec)
    truths, reads, gap = [], {"ours": [], "their network": [], "theirs": []}, 0.0
    for index in range(min(options.count or len(source), len(source))):
        image = decode(source.image_bytes(index), source.where(index))
        truths.append(source.labels[index])
        [(_, batch, widths)] = engine.batches([engine.prepare(image)], 1)
        logits = engine.logits(batch, widths)
        same = theirs(our_input(engine, image))
        gap = max(gap, float(np.abs(logits[:, : same.shape[1]] - same).max()))
        for name, found in (("ours", logits), ("their network", same), ("theirs", theirs(their_input(image)))):
            reads[name].append(engine.decode(found)[0].text)
    print(
        json.dumps(
            {
                "words": len(truths),
                "largest difference of a logit": gap,
                "strings that differ, same input": sum(map(str.__ne__, reads["ours"], reads["their network"])),
                "strings that differ, own input": sum(map(str.__ne__, reads["ours"], reads["theirs"])),
                **{
                    f"{name}, {protocol}": round(100 * float(np.mean(score(truths, texts, protocol).distance == 0)), 2)
                    for name, texts in reads.items()
                    for protocol in ("exact", "str36")
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
