"""Throughput of the engine and of `ocrctl predict`: PyTorch against ONNX Runtime, batch sizes, threads.

    python benchmarks/predict_speed.py MODEL FOLDER [--images 1024] [--repeats 5] [--json]

MODEL is a checkpoint or run folder, FOLDER holds word images. Each engine line is the median and the best of `repeats`
passes over images that are prepared already, in a fresh process per setting, by the clock and per CPU-second (which a
busy machine distorts less); each predict line is a whole run over the files, model loading left out. The number of
cores is printed with the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ENGINE = """
import json, sys, time
from ocrctl.runtime import share_cores
share_cores()
import numpy as np
from ocrctl import Engine
model, threads, batch, images, repeats = sys.argv[1], *map(int, sys.argv[2:])
engine = Engine.load(model, "cpu", threads)
card = engine.card
rng = np.random.default_rng(0)
pictures = rng.integers(0, 256, (images, card.height, card.width, card.channels), dtype=np.uint8)
engine.recognize_prepared(pictures[:batch])
rates = []
for _ in range(repeats):
    start, spent = time.perf_counter(), time.process_time()
    for place in range(0, images, batch):
        engine.recognize_prepared(pictures[place : place + batch])
    rates.append([images / (time.perf_counter() - start), images / (time.process_time() - spent)])
print(json.dumps(rates))
"""


def engine_rates(model: str, threads: int, batch: int, images: int, repeats: int) -> list[tuple[float, float]]:
    """Images a second and per CPU-second of each pass, in a process of its own."""
    command = [sys.executable, "-c", ENGINE, model, *map(str, (threads, batch, images, repeats))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def predict_rate(model: str, folder: str, jobs: int, repeats: int) -> list[float]:
    """Images a second of whole `ocrctl predict` runs: reading, decoding, resizing, recognising, writing."""
    rates = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(repeats):
            report = Path(out) / "report.json"
            command = [sys.executable, "-m", "ocrctl", "predict", folder, "-m", model, "-o", out, "-q"]
            command += ["--device", "cpu", "--jobs", str(jobs), "--report", str(report)]
            subprocess.run(command, check=True)
            rates.append(json.loads(report.read_text("utf-8"))["images_per_second"])
    return rates


def main() -> None:
    """Measure and print one line per setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 16, 64, 256], help="batch sizes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows: list[dict[str, object]] = []

    def add(rates: list[float], cpu_rates: list[float], **setting: object) -> None:
        median, cpu = statistics.median(rates), statistics.median(cpu_rates) if cpu_rates else None
        rows.append({**setting, "median": median, "best": max(rates), "per_cpu_second": cpu, "runs": len(rates)})
        if not options.json:
            text = ", ".join(f"{name} {value}" for name, value in setting.items())
            per_cpu = f", {cpu:.0f} per CPU-second" if cpu else ""
            print(f"{text}: {median:.0f} images/s (best {max(rates):.0f} of {len(rates)}){per_cpu}", flush=True)

    with tempfile.TemporaryDirectory() as bundle:
        command = [sys.executable, "-m", "ocrctl", "export", options.model, "-o", bundle, "-q", "--json"]
        exported = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        models = {"torch": options.model, "onnx": exported["models"][0]["path"]}
        if not options.json:
            print(f"{platform.processor() or platform.machine()}, {cores} cores, Python {platform.python_version()}")
        for backend, model in models.items():
            for threads in sorted({1, cores}):
                for batch in options.batch:
                    images = max(batch, options.images if batch > 1 else options.images // 4)
                    rates = engine_rates(model, threads, batch, images, options.repeats)
                    clock, cpu = map(list, zip(*rates, strict=True))
                    add(clock, cpu, what="engine", backend=backend, threads=threads, batch=batch)
            for jobs in (0, 1, 2):
                rates = predict_rate(model, options.folder, jobs, max(1, options.repeats // 2))
                add(rates, [], what="predict", backend=backend, jobs=jobs)
    if options.json:
        print(json.dumps({"cores": cores, "python": platform.python_version(), "rows": rows}))


if __name__ == "__main__":
    main()
