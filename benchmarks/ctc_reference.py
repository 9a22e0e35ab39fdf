"""CTC prefix beam search beside fast-ctc-decode: the share of equal texts on random logits.

    python benchmarks/ctc_reference.py

fast_ctc_decode must be importable; of ocrctl only its text package is, so a small environment does.
"""

from __future__ import annotations

import json

import fast_ctc_decode
import numpy as np

from ocrctl.text.ctc_beam_search import log_softmax, prefix_beam_search

ALPHABET = "-abcdefghi"
TEXTS, STEPS = 200, 25


def main() -> None:
    """Print one line for each sharpness of the logits and each width."""
    rng = np.random.default_rng(0)
    for spread in (0.5, 1.0, 2.0, 4.0):
        for beam in (1, 2, 5, 20):
            logits = (spread * rng.normal(size=(TEXTS, STEPS, len(ALPHABET)))).astype(np.float32)
            log_probs = log_softmax(logits)
            ours = ["".join(ALPHABET[label] for label in found[0][0]) for found in prefix_beam_search(log_probs, beam)]
            theirs = [
                fast_ctc_decode.beam_search(np.exp(one), ALPHABET, beam_size=beam, beam_cut_threshold=0.0)[0]
                for one in log_probs
            ]
            equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
            print(json.dumps({"spread": spread, "beam": beam, "equal": equal, "of": TEXTS}), flush=True)


if __name__ == "__main__":
    main()
