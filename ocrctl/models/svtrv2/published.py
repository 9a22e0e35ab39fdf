"""Recognise the published weights of SVTRv2-tiny: checkpoints of Topdu/OpenOCR, with or without the semantic guidance
module, which inference does not use.

Names are those of models/svtrv2/model.py; with the module, the decoder has one more level of names.
"""

from __future__ import annotations

from ocrctl.errors import InputError
from ocrctl.models.svtrv2.model import SIZES
from ocrctl.models.weight_file import Converted, WeightFile
from ocrctl.text.charset import ASCII94

FIRST = "encoder.pope.patch_embed.1.conv.weight"
GUIDED, GUIDANCE = "decoder.ctc_decoder.", "decoder.gtc_decoder."


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published SVTRv2-tiny, None for any other file.

    Its charset is that of the English release where it has as many characters; others have to be given. Raises
    InputError for another size of the model, and for another decoder.
    """
    tensors = {
        name.replace(GUIDED, "decoder."): value
        for name, value in file.tensors.items()
        if not name.startswith(GUIDANCE)
    }  # fmt: skip
    if file.kind != "state_dict" or FIRST not in tensors:
        return None
    arch = next((arch for arch, stages in SIZES.items() if stages[0].width == tensors[FIRST].shape[0]), None)
    if arch is None or "decoder.char_token" not in tensors or "decoder.fc.weight" not in tensors:
        raise InputError(
            f"{file.path}: a model of OpenOCR, but not SVTRv2-tiny with its CTC decoder (RCTCDecoder).",
            hint="use the checkpoint of svtrv2_tiny_rctc or of its second stage, svtrv2_tiny_smtr_gtc_rctc",
        )
    characters = tensors["decoder.fc.weight"].shape[0] - 1
    charset = ASCII94 if characters == len(ASCII94) else None
    return Converted(arch, tensors, f"published weights of {arch}", charset)
