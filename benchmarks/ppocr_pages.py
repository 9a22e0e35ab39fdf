"""Read pages with ocrctl and with rapidocr, one after the other: CPU time of each, and how many texts are the same.

    python benchmarks/ppocr_pages.py --rapidocr VENV/bin/python IMAGE_OR_FOLDER... [--limit 50] [--rounds 3]
        [--detector default:det] [--recogniser default:rec]

VENV: an environment with rapidocr, which runs there in a process of its own with its own defaults and one thread, as
ocrctl does here. Both get the path of a page and read it from the file; the time is the CPU time of the process, the
median of the rounds of a page. rapidocr drops texts below a confidence of 0.5; so does the comparison here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

LEAST = 0.5  # confidence of a text, rapidocr's `text_score`
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def serve() -> None:
    """Run in the other environment: a path a line in, [CPU seconds, texts] as JSON out."""
    import cv2
    from rapidocr import RapidOCR

    cv2.setNumThreads(1)
    engine = RapidOCR(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "error",
        }
    )
    for line in sys.stdin:
        begin = time.process_time()
        found = engine(line.strip())
        spent = time.process_time() - begin
        print(json.dumps([spent, list(found.txts or ())]), flush=True)


def main() -> None:
    """Print seconds a page of both, their ratio and the texts that both read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--rapidocr", required=True, help="python of an environment with rapidocr")
    parser.add_argument("--detector", default="default:det")
    parser.add_argument("--recogniser", default="default:rec")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--show", action="store_true", help="print the texts that only one of them reads")
    args = parser.parse_args()

    import cv2

    from ocrctl.data.images.decode import decode
    from ocrctl.inference.engine import Engine
    from ocrctl.inference.reader import PageReader

    cv2.setNumThreads(1)
    reader = PageReader(
        Engine.load(args.detector, device="cpu", threads=1), Engine.load(args.recogniser, device="cpu", threads=1)
    )
    files = [one for given in args.inputs for one in (sorted(given.iterdir()) if given.is_dir() else [given])]
    files = [one for one in files if one.suffix.lower() in SUFFIXES][: args.limit]
    other = subprocess.Popen(
        [args.rapidocr, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None and other.stdout is not None

    def ours(file: Path) -> tuple[float, list[str]]:
        begin = time.process_time()
        (page,) = reader.read([decode(file.read_bytes(), str(file))])
        spent = time.process_time() - begin
        return spent, [word.text for word in page.words if word.text.strip() and word.confidence >= LEAST]

    def theirs(file: Path) -> tuple[float, list[str]]:
        other.stdin.write(f"{file.resolve()}\n")  # type: ignore[union-attr]
        other.stdin.flush()  # type: ignore[union-attr]
        answer: list[Any] = json.loads(other.stdout.readline())  # type: ignore[union-attr]
        return answer[0], answer[1]

    for work in (ours, theirs):
        work(files[0])  # models and memory
    total, texts = Counter[str](), Counter[str]()
    ratios = []
    for file in files:
        spent: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(args.rounds):
            seconds, mine = ours(file)
            spent["ours"].append(seconds)
            seconds, other_texts = theirs(file)
            spent["theirs"].append(seconds)
        medians = {name: statistics.median(values) for name, values in spent.items()}
        ratios.append(medians["theirs"] / medians["ours"])
        for name, value in medians.items():
            total[name] += value  # type: ignore[assignment]
        one, two = Counter(mine), Counter(other_texts)
        texts.update(same=(one & two).total(), ours=one.total(), theirs=two.total(), pages=int(one == two))
        if args.show and one != two:
            print(f"{file.name}: ours {sorted((one - two).elements())}, rapidocr {sorted((two - one).elements())}")
    other.stdin.close()
    print(
        f"{len(files)} pages: ocrctl {total['ours'] / len(files):.3f}, rapidocr {total['theirs'] / len(files):.3f} CPU "
        f"seconds a page; ratio {total['theirs'] / total['ours']:.2f}, median page {statistics.median(ratios):.2f}"
    )
    print(
        f"texts: ocrctl {texts['ours']}, rapidocr {texts['theirs']}, the same {texts['same']}; "
        f"{texts['pages']} of {len(files)} pages with the same texts"
    )


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
