"""What reading checked pages costs beside the lmdb library: microseconds for an image, seconds for all labels.

    python benchmarks/lmdb_read.py PATH [--reads 20000] [--rounds 7]

PATH is an LMDB of word images. The library reads as version 0.1 did: one environment, a transaction for each image, one
for all labels. Rounds are interleaved in one process, the page cache is warm; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np

from ocrctl.data.images.decode import decode
from ocrctl.data.images.resize_word import resize_word
from ocrctl.data.lmdb.file import LmdbFile
from ocrctl.data.lmdb.reader import data_file, image_key, label_key


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--reads", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    path = data_file(options.path)
    assert path is not None, f"{options.path} is no LMDB"
    library = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False)
    ours = LmdbFile(path, str(path))
    count = int(ours.get(b"num-samples") or 0)
    chosen = np.random.default_rng(0).integers(1, count + 1, options.reads).tolist()

    def by_library(key: bytes) -> bytes | None:
        with library.begin() as transaction:
            found: bytes | None = transaction.get(key)
            return found

    def labels() -> None:
        with library.begin(buffers=True) as transaction:
            for number in range(1, count + 1):
                transaction.get(label_key(number))

    def scanned() -> None:
        for key, _ in ours.scan(label_key(1)):
            if not key.startswith(b"label-"):
                break

    def images(get: Callable[[bytes], bytes | None]) -> float:
        start = time.perf_counter()
        for number in chosen:
            get(image_key(number))
        return (time.perf_counter() - start) / len(chosen) * 1e6

    def seconds(work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def sample() -> None:
        for number in chosen[:2000]:
            resize_word(decode(ours.get(image_key(number)) or b"", ""), 32, 128, 3)

    rows = [
        (images(by_library), images(ours.get), seconds(labels), seconds(scanned), seconds(sample) / 2000 * 1e6)
        for _ in range(options.rounds)
    ]
    names = ("image, library us", "image, checked us", "labels, library s", "labels, checked s", "read and decoded us")
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:24}{statistics.median(values):10.3f}")


if __name__ == "__main__":
    main()
