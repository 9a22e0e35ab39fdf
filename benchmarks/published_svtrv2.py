"""Largest difference between SVTRv2-tiny and the authors' code, with equal random weights.

    python benchmarks/published_svtrv2.py --reference OPENOCR

OPENOCR: a checkout of https://github.com/Topdu/OpenOCR. For each width: the largest difference of a logit over three
random images, and the largest logit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ocrctl import Engine

WIDTHS = (32, 64, 96, 112, 128, 320, 640)
CLASSES = 95  # the blank and the characters of the English release


def reference(path: Path) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of the configuration svtrv2_tiny_rctc, every tensor with noise added."""
    sys.path.insert(0, str(path))
    from openrec.modeling.decoders.rctc_decoder import RCTCDecoder
    from openrec.modeling.encoders.svtrv2_lnconv_two33 import SVTRv2LNConvTwo33

    torch.manual_seed(1)
    encoder = SVTRv2LNConvTwo33(
        use_pos_embed=False, dims=[64, 128, 256], depths=[3, 6, 3], num_heads=[2, 4, 8],
        mixer=[["Conv"] * 3, [*["Conv"] * 3, "FGlobal", "Global", "Global"], ["Global"] * 3],
        local_k=[[5, 5], [5, 5], [-1, -1]], sub_k=[[1, 1], [2, 1], [-1, -1]], last_stage=False, feat2d=True,
    )  # fmt: skip
    decoder = RCTCDecoder(encoder.out_channels, CLASSES)
    with torch.no_grad():
        for part in (encoder, decoder):
            for parameter in part.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        for name, buffer in encoder.named_buffers():
            if "running_mean" in name:
                buffer.normal_(0, 0.1)
            if "running_var" in name:
                buffer.uniform_(0.5, 1.5)
    decoder.train()  # in evaluation mode it returns probabilities; it has nothing else that depends on the mode
    return encoder.eval(), decoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, metavar="OPENOCR")
    args = parser.parse_args()
    encoder, decoder = reference(args.reference)
    state = {f"{name}.{key}": value for name, part in (("encoder", encoder), ("decoder", decoder))
             for key, value in part.state_dict().items()}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best.pth"
        torch.save({"state_dict": state}, path)
        engine = Engine.load(path, device="cpu")
    random = np.random.default_rng(0)
    for width in WIDTHS:
        images = random.integers(0, 256, (3, 32, width, 3), dtype=np.uint8)
        own = engine.logits(images, np.full(3, width))
        with torch.inference_mode():
            normalised = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
            theirs = decoder(encoder(normalised)).numpy()
        print(f"{width}\t{np.abs(own - theirs).max():.1e}\t{np.abs(theirs).max():.1f}", flush=True)


if __name__ == "__main__":
    main()
