"""Accuracy and CPU time of each way of decoding the same logits: greedy, beams, lexicons, n-gram models.

    python benchmarks/decoding_gain.py MODEL VAL TRAIN [--limit 400]

VAL and TRAIN are SPECs of words: accuracy is that on the first words of VAL; the lexicons are the labels of those
words, and these with the labels of TRAIN; the n-gram model is counted on the labels of TRAIN. MODEL is a CTC
recogniser.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from ocrctl import Engine
from ocrctl.core.eval.word_samples import open_samples
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.text_decoder import TextDecoder
from ocrctl.metrics.recognition import score


def write_lines(path: Path, texts: list[str]) -> Path:
    """Write one text a line."""
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("val")
    parser.add_argument("train")
    parser.add_argument("--limit", type=int, default=400)
    options = parser.parse_args()
    engine = Engine.load(options.model, "cpu", 1)
    [data] = open_samples([options.val], [engine.card], options.limit, 0, [])
    [train] = open_samples([options.train], [engine.card], None, 0, [])
    labels = list(data.labels)[: options.limit]
    prepared = [engine.prepare(data.image(index)) for index in range(len(labels))]
    logits = [(rows, engine.logits(batch, widths), widths) for rows, batch, widths in engine.batches(prepared)]
    with tempfile.TemporaryDirectory() as folder:
        own = write_lines(Path(folder) / "own.txt", list(dict.fromkeys(labels)))
        both = write_lines(Path(folder) / "both.txt", list(dict.fromkeys([*labels, *train.labels])))
        texts = write_lines(Path(folder) / "texts.txt", list(train.labels))
        ways = {"greedy": Decoding(), "beam:5": Decoding(beam=5), "beam:20": Decoding(beam=20)}
        ways |= {f"lexicon, {path.stem}": Decoding(beam=1, lexicon=path) for path in (own, both)}
        for weight in (0.05, 0.1, 0.2, 0.3, 0.5):
            ways[f"beam:5, n-grams times {weight}"] = Decoding(beam=5, ngram=(str(texts),), ngram_weight=weight)
        ways["beam:20, n-grams"] = Decoding(beam=20, ngram=(str(texts),))
        ways["beam:5, n-grams and English"] = Decoding(beam=5, ngram=(str(texts), "english"))
        ways["beam:5, English"] = Decoding(beam=5, ngram=("english",))
        for name, decoding in ways.items():
            decoder = TextDecoder(engine.card, decoding)
            found = [""] * len(labels)
            start = time.process_time()
            for rows, batch, widths in logits:
                for row, one in zip(rows, decoder.decode(batch, widths), strict=True):
                    found[row] = one.text
            seconds = time.process_time() - start
            scores = score(labels, found, "exact")
            row = {
                "decoding": name,
                "words": decoder.lexicon.words if decoder.lexicon is not None else None,
                "exact_%": round(100 * sum(map(str.__eq__, labels, found)) / len(labels), 2),
                "cer_%": round(100 * float(scores.distance.sum()) / sum(map(len, labels)), 2),
                "ms_per_word": round(1000 * seconds / len(labels), 2),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
