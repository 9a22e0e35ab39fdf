"""Write the ICDAR 2015 word crops that come from held-out photos, one name a line.

The word crops and the outlines of the photos come in the same order: crop n is the n-th outline whose text is not
`###`, photos by number. So the words can be held out with their photos, and with the scenes of those photos.

    python benchmarks/word_holdout.py ic15_detection_train ic15_words_train > benchmarks/ic15_words_holdout.txt
    ocrctl dataset split ic15_words_train words --list benchmarks/ic15_words_holdout.txt   # 4,022 and 446 words
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

HOLDOUT = Path(__file__).with_name("ic15_holdout.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, help="folder with Label.txt of the 1,000 photos")
    parser.add_argument("words", type=Path, help="folder with gt.txt of the 4,468 crops")
    arguments = parser.parse_args()
    held = {line for line in HOLDOUT.read_text(encoding="utf-8").split("\n") if line and not line.startswith("#")}
    outlines = []
    for line in (arguments.pages / "Label.txt").read_text(encoding="utf-8-sig").splitlines():
        path, _, labels = line.partition("\t")
        number = int(re.findall(r"\d+", path)[-1])
        texts = [word["transcription"] for word in json.loads(labels) if word["transcription"] != "###"]
        outlines.append((number, Path(path).name in held, texts))
    photos = [(hold, text) for _, hold, texts in sorted(outlines) for text in texts]
    crops = [
        line.split(", ", 1)
        for line in (arguments.words / "gt.txt").read_text(encoding="utf-8-sig").splitlines()
        if line
    ]
    if [text for _, text in photos] != [text.strip()[1:-1].replace('\\"', '"') for _, text in crops]:
        sys.exit("the words of the crops are not those of the photos, in the same order")
    print("# Word crops of the photos in ic15_holdout.txt; made by: python benchmarks/word_holdout.py")
    print("\n".join(name for (name, _), (hold, _) in zip(crops, photos, strict=True) if hold))


if __name__ == "__main__":
    main()
