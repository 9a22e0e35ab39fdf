"""Does an imported CRAFT find what its authors' code finds?

    python benchmarks/published_craft.py craft_mlt_25k.pth SPEC --reference CHECKOUT [--maps DIR] [--count N]

SPEC is an annotated set of photos, CHECKOUT a checkout of clovaai/CRAFT-pytorch; torchvision and scikit-image, which it
imports, are replaced by what it uses of them. Both take photos at a longer side of 1280 pixels. `--maps` keeps the maps
of their network, one NPZ file per photo, and reads those that are there; `--their-maps-only` does not run the network
of ocrctl. Boxes of ocrctl end at the edge of the photo, theirs may reach beyond: they are compared and scored as they
are, and cut. One JSON object: largest difference of a map; boxes of both; how many of either have no equal among the
other's (a corner more than half a pixel away); recall, precision and hmean (IoU 0.5) in percent.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ocrctl.core.eval.page_samples import open_pages
from ocrctl.inference.engine import Engine
from ocrctl.metrics.instances import from_detections, from_words
from ocrctl.metrics.pages import score_pages
from ocrctl.models.outlines.detections import Detections
from ocrctl.models.weight_file import read_weight_file

SIDE = 1280
Maps = dict[str, NDArray[np.float32]]


def stand_in_for_torchvision() -> None:
    """The layers of vgg16_bn, all that the checkout uses."""

    def vgg16_bn(pretrained: bool = False) -> nn.Module:
        layers: list[nn.Module] = []
        channels = 3
        for stage in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        network = nn.Module()
        network.features = nn.Sequential(*layers)
        return network

    named = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.models", "torchvision.models.vgg")}
    named["torchvision"].models = named["torchvision.models"]  # type: ignore[attr-defined]
    named["torchvision.models"].vgg16_bn = vgg16_bn  # type: ignore[attr-defined]
    named["torchvision.models.vgg"].model_urls = {"vgg16_bn": "https://"}  # type: ignore[attr-defined]
    named["skimage"] = types.ModuleType("skimage")
    named["skimage"].io = None  # type: ignore[attr-defined]
    sys.modules.update(named)


class Reference:
    """The authors' network, preprocessing and postprocess."""

    def __init__(self, checkout: Path, weights: Path, folder: Path | None) -> None:
        stand_in_for_torchvision()
        sys.path.insert(0, str(checkout))
        import craft_utils  # type: ignore[import-not-found]
        import imgproc  # type: ignore[import-not-found]
        from craft import CRAFT  # type: ignore[import-not-found]

        self.network = CRAFT()
        held = read_weight_file(weights).tensors
        self.network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in held.items()})
        self.network.eval()
        self.imgproc, self.utils, self.folder = imgproc, craft_utils, folder

    def maps(self, image: NDArray[np.uint8], name: str) -> Maps:
        """Region and affinity of an RGB image."""
        file = self.folder / f"{Path(name).stem}.npz" if self.folder else None
        if file is not None and file.is_file():
            held = np.load(file)
            return {"region": held["t"], "affinity": held["l"]}
        shown, _, _ = self.imgproc.resize_aspect_ratio(image, SIDE, interpolation=cv2.INTER_LINEAR, mag_ratio=1.5)
        batch = torch.from_numpy(self.imgproc.normalizeMeanVariance(shown)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            found = self.network(batch)[0][0].numpy()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, t=found[:, :, 0], l=found[:, :, 1])
        return {"region": found[:, :, 0], "affinity": found[:, :, 1]}

    def boxes(self, maps: Maps, image: NDArray[np.uint8]) -> Detections:
        """Boxes in pixels of `image`, at the authors' thresholds."""
        found, _ = self.utils.getDetBoxes(maps["region"].copy(), maps["affinity"].copy(), 0.7, 0.4, 0.4, False)
        scale = max(image.shape[:2]) / min(SIDE, 1.5 * max(image.shape[:2]))
        quads = np.array(found, np.float64).reshape(-1, 4, 2) * 2 * scale
        return Detections.from_quads(quads, np.ones(len(quads)))


def alone(ours: Detections, theirs: Detections) -> int:
    """Boxes of either that have no equal among the other's."""
    one, two = ours.quads().astype(np.float64), theirs.quads().astype(np.float64)
    if not len(one) or not len(two):
        return len(one) + len(two)
    turned = np.stack([np.roll(two, turn, axis=1) for turn in range(4)], 1)  # (M, 4, 4, 2): any first corner
    away = np.abs(one[:, None, None] - turned[None]).max((3, 4)).min(2)  # (N, M)
    return int((away.min(1) > 0.5).sum() + (away.min(0) > 0.5).sum())


def cut(found: Detections, size: tuple[int, ...]) -> Detections:
    """Boxes that end at the last cell of a map of a photo of `size` (height, width)."""
    return Detections(np.clip(found.points, 0, np.array(size[1::-1], np.float32) - 2), found.offsets, found.scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("spec")
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--their-maps-only", action="store_true")
    parser.add_argument("--count", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = Engine.load(options.weights, device="cpu", threads=options.threads)
    reference = Reference(options.reference, options.weights, options.maps)
    [pages] = open_pages([options.spec], options.count, 0, [])
    gap, apart, apart_cut = 0.0, 0, 0
    truths, names = [], []
    found: dict[str, list[Detections]] = {"ours": [], "theirs": [], "theirs, cut": []}
    for index in range(len(pages)):
        image, name = pages.image(index), pages.image_name(index)
        page = engine.prepare_page(image)
        given = reference.maps(image, name)
        own = given if options.their_maps_only else engine.maps([page])[0]
        gap = max(gap, *(float(np.abs(own[key] - given[key]).max()) for key in given))
        ours, theirs = engine.find(own, page), reference.boxes(given, image)
        found["ours"].append(ours)
        found["theirs"].append(theirs)
        found["theirs, cut"].append(cut(theirs, image.shape))
        apart += alone(ours, theirs)
        apart_cut += alone(cut(ours, image.shape), cut(theirs, image.shape))
        truths.append(pages.words(index))
        names.append(name)
        print(f"{index + 1}/{len(pages)} {name}: {len(ours)} and {len(theirs)} boxes", file=sys.stderr, flush=True)
    result: dict[str, object] = {
        "photos": len(pages),
        "largest difference of a map": None if options.their_maps_only else gap,
        "boxes": [sum(map(len, found["ours"])), sum(map(len, found["theirs"]))],
        "boxes without an equal": apart,
        "boxes without an equal, cut": apart_cut,
    }
    for who, boxes in found.items():
        total = score_pages(names, from_words(truths), from_detections(boxes)).total
        result[who] = {name: round(100 * total[name], 2) for name in ("recall", "precision", "hmean")}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
