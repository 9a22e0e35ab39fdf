"""Images of one place: local features of two images that agree on one homography. Part of scene_groups.py.

SIFT at reduced size, square-rooted (RootSIFT; Arandjelovic and Zisserman, CVPR 2012); candidates for comparison by VLAD
(Jegou et al., CVPR 2010), the others by RANSAC.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations

SIDE = 640  # pixels of the longer side
FEATURES = 600
CENTRES = 64  # of VLAD
LEAST = 8  # features that agree; at 6 and 7 by chance, as seen on 30 pairs


@dataclass(frozen=True)
class Features:
    """n points of an image: `points` (n, 2) x, y at SIDE, `described` (n, 128) of length 1."""

    points: NDArray[np.float32]
    described: NDArray[np.float32]


class Care(NamedTuple):
    """What makes a match: pixels are those at SIDE."""

    ratio: float  # nearest over second nearest distance, as Lowe
    reach: float  # pixels that a match may miss the homography by
    spread: float  # pixels: deviation of the agreeing points along their lesser axis, in both images


ANY = Care(0.8, 4.0, 6.0)
LIKELY = Care(0.85, 5.0, 6.0)  # photographed one after the other, or alike as a whole and with a word in common


def features_of(data: Annotations) -> list[Features]:
    """Features of each image."""
    sift = cv2.SIFT_create(nfeatures=FEATURES, contrastThreshold=0.03)
    found = []
    for image in range(len(data.images)):
        grey = cv2.imdecode(np.frombuffer(data.image_bytes(image), np.uint8), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise SystemExit(f"{data.image_where(image)}: cannot be decoded")
        scale = SIDE / max(grey.shape)
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        keys, described = sift.detectAndCompute(grey, None)
        if described is None:
            described = np.zeros((0, 128), np.float32)
        described = np.sqrt(described / np.maximum(described.sum(1, keepdims=True), 1e-9))
        found.append(Features(np.array([key.pt for key in keys], np.float32).reshape(-1, 2), described))
        if image % 100 == 99:
            print(f"features of {image + 1} pictures", file=sys.stderr)
    return found


def neighbours(features: list[Features], count: int) -> list[tuple[int, int]]:
    """Pairs (a < b) in which one image is among the `count` that look most like the other as a whole."""
    random = np.random.default_rng(0)
    every = np.concatenate([one.described for one in features])
    cv2.setRNGSeed(0)
    sample = every[random.choice(len(every), min(20_000, len(every)), replace=False)]
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 15, 1e-3)
    _, _, centres = cv2.kmeans(sample, CENTRES, np.empty(0, np.int32), stop, 1, cv2.KMEANS_PP_CENTERS)
    vlad = np.zeros((len(features), CENTRES, 128), np.float32)
    for image, one in enumerate(features):
        nearest = (one.described @ centres.T - (centres**2).sum(1) / 2).argmax(1) if len(one.described) else []
        np.add.at(vlad[image], nearest, one.described - centres[nearest])
    vlad /= np.maximum(np.linalg.norm(vlad, axis=2, keepdims=True), 1e-9)
    flat = vlad.reshape(len(features), -1)
    alike = flat @ flat.T
    np.fill_diagonal(alike, -np.inf)
    best = np.argsort(-alike, axis=1)[:, :count]
    return sorted({(min(a, int(b)), max(a, int(b))) for a in range(len(features)) for b in best[a]})


def agreeing(a: Features, b: Features, care: Care) -> int:
    """How many mutual nearest features of two images lie on one homography that keeps orientation; 0 where they do
    not spread over an area (a logo's edge, a row of lamps)."""
    if min(len(a.points), len(b.points)) < LEAST:
        return 0
    product = a.described @ b.described.T
    rows = np.arange(len(product))
    to = product.argmax(1)
    first = product[rows, to]
    back = product.argmax(0)
    product[rows, to] = -1
    second = product.max(1)
    good = (back[to] == rows) & (2 - 2 * first < care.ratio**2 * (2 - 2 * second))
    if good.sum() < LEAST:
        return 0
    here, there = a.points[good], b.points[to[good]]
    cv2.setRNGSeed(0)
    matrix, kept = cv2.findHomography(here, there, cv2.RANSAC, care.reach, maxIters=1000, confidence=0.99)
    if matrix is None or np.linalg.det(matrix[:2, :2]) <= 0.05:
        return 0
    inside = kept[:, 0] > 0
    if inside.sum() < LEAST:
        return 0
    for points in (here[inside], there[inside]):
        if np.sqrt(max(np.linalg.eigvalsh(np.cov(points.T))[0], 0)) < care.spread:
            return 0
    return len(np.unique(np.round(there[inside]), axis=0))
