"""The child process of `train --auto-batch`: `python -m ocrctl.core.train.batch_probe` tries one batch size.

Reads a JSON request from stdin and prints one JSON object: `fits`, `peak` (bytes), `batch` (bytes of the batch itself),
`reason` where it does not fit. With `batch_size` 0 it prints `free`, the bytes that the device has left.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ocrctl.errors import OcrctlError
from ocrctl.escape import visible
from ocrctl.runtime import keep_memory, limit_memory, mkldnn, model_threads, process_bytes, share_cores

UNUSED = 0.08  # share of a GPU's free memory that fragments may take


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Run the steps of `request`: `card` (JSON), `train` (settings), `device`, `precision`, `batch_size`, `limit`
    (bytes), `plugins` (files)."""
    share_cores()  # before torch is imported, as in a training
    keep_memory()
    import torch

    from ocrctl.config.model_card import ModelCard
    from ocrctl.config.plugins import use_plugins
    from ocrctl.config.settings import TrainSettings
    from ocrctl.shortages import find_shortage, reason_of
    from ocrctl.training.device import Accelerator
    from ocrctl.training.trial import trial_steps

    cuda = request["device"] == "cuda"
    if not request["batch_size"]:
        return {"free": int((1 - UNUSED) * torch.cuda.mem_get_info()[0])}
    train = TrainSettings(**request["train"])
    torch.set_num_threads(model_threads(train.threads))
    accelerator = Accelerator(request["device"], request["precision"])
    before = process_bytes("VmRSS")
    if not cuda:
        limit_memory(max(0, request["limit"] - before))
    with use_plugins([Path(name) for name in request["plugins"]]), mkldnn(train.mkldnn):
        try:
            batch = trial_steps(ModelCard.from_json(request["card"]), train, accelerator, request["batch_size"])
        except OcrctlError:
            raise
        except Exception as error:
            if (found := find_shortage(error)) is None:
                raise
            return {"fits": False, "reason": reason_of(found[1])}
    peak = torch.cuda.max_memory_reserved() if cuda else _peak()
    fits = peak <= request["limit"]
    return {"fits": fits, "peak": peak, "batch": batch, "reason": "" if fits else "beyond the limit"}


def _peak() -> int:
    """Return the most memory that this process has held, in bytes; 0 on Windows, where only a failed allocation tells
    that a batch does not fit."""
    if found := process_bytes("VmHWM"):
        return found
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def main() -> int:
    """Answer the request on stdin; exit 2 with one line on stderr for settings that the model does not support."""
    try:
        sys.stdout.write(json.dumps(probe(json.load(sys.stdin))) + "\n")
    except OcrctlError as error:
        sys.stderr.write(visible(error.message) + "\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
