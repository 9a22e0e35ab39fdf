"""Speed of `lmdb build` against the field's usual script on the same crops: paired, interleaved runs, medians.

    python benchmarks/lmdb_build.py WORDS... [--samples 20000] [--rounds 9] [--reference create_lmdb_dataset.py]

WORDS are folders of word images (any SPEC with image files); they are repeated, as files of their own, up to --samples.
The reference is clovaai's script where its path is given (deep-text-recognition-benchmark), else the same procedure
written out below: read a file, decode it to grey, put 1,000 samples per transaction. Each run is a fresh process that
times the build alone, imports left out on both sides; the page cache is warm.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path


def main() -> None:
    """Make the crops, run the rounds, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = ["reference", "jobs=1", "jobs=2"]
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        crops = Path(folder) / "crops"
        gather(options.words, options.samples, crops)
        for number in range(options.rounds):
            for kind in kinds[number % 3 :] + kinds[: number % 3]:
                times[kind].append(run(kind, crops, Path(folder) / "out", options.reference))
            print(
                f"round {number + 1}/{options.rounds}: { ({k: round(v[-1], 2) for k, v in times.items()}) }",
                file=sys.stderr,
            )
    result = {
        "samples": options.samples,
        "rounds": options.rounds,
        "reference": "create_lmdb_dataset.py" if options.reference else "its procedure, written out",
        "microseconds_per_image": {k: statistics.median(v) / options.samples * 1e6 for k, v in times.items()},
        "speed_over_reference": {
            k: statistics.median(r / t for r, t in zip(times["reference"], times[k], strict=True)) for k in kinds[1:]
        },
    }
    if options.json:
        print(json.dumps(result))
        return
    for kind, value in result["microseconds_per_image"].items():
        ratio = result["speed_over_reference"].get(kind)
        print(f"{kind:<10} {value:7.1f} us/image" + (f"   {ratio:.2f} times the reference" if ratio else ""))


def gather(specs: list[str], samples: int, crops: Path) -> None:
    """Copy the word images of `specs` in turn until there are `samples` files, with their `rec_gt.txt`."""
    from ocrctl.data.formats.spec import open_source

    crops.mkdir()
    sources = [open_source(spec) for spec in specs]
    pairs = [(source, index) for source in sources for index in range(len(source)) if source.labels[index]]
    with open(crops / "rec_gt.txt", "w", encoding="utf-8") as labels:
        for number in range(samples):
            source, index = pairs[number % len(pairs)]
            suffix = Path(source.files[index]).suffix
            (crops / f"{number:06}{suffix}").write_bytes(source.image_bytes(index))
            labels.write(f"{number:06}{suffix}\t{source.labels[index]}\n")


def run(kind: str, crops: Path, out: Path, reference: Path | None) -> float:
    """Seconds of one build, measured in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    command = [sys.executable, __file__, "--one", kind, str(crops), str(out), str(reference or "")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def one(kind: str, crops: Path, out: Path, reference: str) -> None:
    """Time one build in this process and print the seconds."""
    if kind == "reference":
        build = _script(reference) if reference else _procedure
        start = time.perf_counter()
        build(str(crops), str(crops / "rec_gt.txt"), str(out))
    else:
        from ocrctl.core.lmdb.run import BuildOptions, build_lmdb

        start = time.perf_counter()
        build_lmdb(BuildOptions(str(crops / "rec_gt.txt"), out, jobs=int(kind.removeprefix("jobs="))))
    print(time.perf_counter() - start)


def _script(path: str):
    """`createDataset` of the script at `path`; its command line parser `fire` is not needed."""
    sys.modules.setdefault("fire", types.ModuleType("fire"))
    spec = importlib.util.spec_from_file_location("create_lmdb_dataset", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.createDataset


def _procedure(folder: str, label_file: str, out: str) -> None:
    import cv2
    import lmdb
    import numpy as np

    os.makedirs(out, exist_ok=True)
    environment = lmdb.open(out, map_size=1 << 40)
    with open(label_file, encoding="utf-8") as stream:
        lines = stream.readlines()
    batch: dict[bytes, bytes] = {}
    count = 0
    for line in lines:
        name, label = line.strip("\n").split("\t")
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            continue
        with open(path, "rb") as stream:
            data = stream.read()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None or 0 in image.shape:
            continue
        count += 1
        batch[b"image-%09d" % count] = data
        batch[b"label-%09d" % count] = label.encode()
        if count % 1000 == 0:
            _put(environment, batch)
            batch = {}
    batch[b"num-samples"] = b"%d" % count
    _put(environment, batch)
    environment.close()


def _put(environment, batch: dict[bytes, bytes]) -> None:
    with environment.begin(write=True) as transaction:
        for key, value in batch.items():
            transaction.put(key, value)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
    else:
        main()
