"""CLEval, detection and end to end: ocrctl against PyPI `cleval` 0.1.1, from the same two zips, in one process.

pip install cleval==0.1.1
python benchmarks/cleval_speed.py [--gt gt_eval_doc_v1_kr.zip --pred res_eval_doc_v1_kr.zip]

Without zips: 100 drawn documents of 105 words, some read wrongly, split, merged, missed. The published code counts one
document first, so that what numba compiles is compiled; then both read and count everything, and all is compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np

from ocrctl.core.eval.files import FilesOptions, score_files


def draw(folder: Path, documents: int, words: int = 105) -> tuple[Path, Path]:
    """Zips of ground truth and of what a reader might make of it."""
    generator = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    places = folder / f"gt_{documents}.zip", folder / f"res_{documents}.zip"
    with zipfile.ZipFile(places[0], "w") as truth, zipfile.ZipFile(places[1], "w") as found:
        for document in range(documents):
            lines, results = [], []
            for word in range(words):
                left, top = 20 + word % 7 * 210, 20 + word // 7 * 60
                text = "".join(generator.choice(letters, generator.integers(1, 9)))
                right, bottom = left + 22 * len(text), top + 40
                lines.append((left, top, right, bottom, text))
                wrong = text[:-1] + "?" if generator.random() < 0.2 else text
                kind, middle = generator.random(), (left + right) // 2
                half = len(text) // 2
                if kind < 0.9:
                    jitter = generator.integers(-4, 5, 4)
                    results.append((left + jitter[0], top + jitter[1], right + jitter[2], bottom + jitter[3], wrong))
                elif kind < 0.94:
                    results.append((left, top, middle, bottom, text[:half]))
                    results.append((middle, top, right, bottom, text[half:]))
                elif kind < 0.98 and word % 7 and results:
                    before = results.pop()
                    results.append((before[0], before[1], right, bottom, before[4] + text))
            for archive, prefix, boxes in ((truth, "gt_", lines), (found, "res_", results)):
                rows = [f"{a},{b},{c},{b},{c},{d},{a},{d},{text}" for a, b, c, d, text in boxes]
                archive.writestr(f"{prefix}{document}.txt", "\n".join(rows))
    return places


def published(truth: Path, found: Path, folder: Path) -> dict[str, object]:
    """What the published code counts, as its command line runs it without worker processes."""
    from cleval.main import cleval

    return cleval(
        Namespace(
            GT_PATHS=[str(truth)], SUBMIT_PATHS=[str(found)], OUTPUT_PATH=str(folder), DUMP_SAMPLE_RESULT=False,
            BOX_TYPE="QUAD", TRANSCRIPTION=True, CONFIDENCES=False, CRLF=False, E2E=True, CASE_SENSITIVE=True,
            RECOG_SCORE=True, AREA_PRECISION_CONSTRAINT=0.3, RECALL_GRANULARITY_PENALTY_WEIGHT=1.0,
            PRECISION_GRANULARITY_PENALTY_WEIGHT=1.0, VERTICAL_ASPECT_RATIO_THRESH=0.5, ORIENTATION=False,
            SCALE_WISE=False, NUM_WORKERS=1, VERBOSE=False, DEBUG=True, PROFILE=False,
        )
    )["all"]  # fmt: skip


def main() -> None:
    """Print both times, best of `--runs` for ocrctl, and whether every count is the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gt", type=Path)
    parser.add_argument("--pred", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth, found = (options.gt, options.pred) if options.gt else draw(folder, 100)
        published(*draw(folder, 1), folder)
        start = time.perf_counter()
        theirs = published(truth, found, folder)
        their_time = time.perf_counter() - start
        best = float("inf")
        for _ in range(options.runs):
            start = time.perf_counter()
            ours = score_files(FilesOptions(str(truth), str(found), "cleval", True)).scores.total
            best = min(best, time.perf_counter() - start)
    flat = {f"{key}.{name}": value for key in ("det", "e2e") for name, value in ours[key].items()}
    flat |= {key: value for key, value in ours.items() if key.startswith("num_")}
    other = {f"{key}.{name}": value for key in ("det", "e2e") for name, value in theirs[key].items()} | theirs
    differing = [key for key, value in flat.items() if abs(value - other[key]) > 1e-12]
    print(f"cleval 0.1.1 {their_time:7.3f} s")
    print(f"ocrctl       {best:7.3f} s, {their_time / best:.1f} times as fast")
    print(f"{len(flat)} counts and scores, differing: {', '.join(differing) or 'none'}")


if __name__ == "__main__":
    main()
