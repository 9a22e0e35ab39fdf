"""Recognise published weights of PARSeq (baudm/parseq): the tensor names are those of this package.

Releases come as state dicts and as Lightning checkpoints, with and without `model.` before the names. Classes are
[E], the characters, and in the embedding [B] and [P]: the order of text.tokenizer.ARTokenizer.
"""

from __future__ import annotations

from ocrctl.errors import InputError
from ocrctl.models.parseq.model import PATCH, SIZES
from ocrctl.models.weight_file import Converted, WeightFile
from ocrctl.text.charset import ASCII94, LOWER36

SIGNATURE = ("pos_queries", "text_embed.embedding.weight", "head.weight", "encoder.pos_embed")
ALPHANUMERIC62 = ASCII94[:62]  # digits, lower case, upper case
KNOWN = {len(chars): chars for chars in (ASCII94, LOWER36, ALPHANUMERIC62)}
HEIGHT = 32  # pixels


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published PARSeq, None for any other file.

    Its charset is that of the Lightning checkpoint's hyperparameters; a state dict of 94, 62 or 36 characters has the
    first ones of `text.charset.ASCII94`, as all releases do. Raises InputError for sizes that no architecture has.
    """
    if file.kind != "state_dict" or any(name not in file.tensors for name in SIGNATURE):
        return None
    dim = file.shape("head.weight")[-1]
    blocks = len({name.split(".")[2] for name in file.tensors if name.startswith("encoder.blocks.")})
    arch = next((name for name, size in SIZES.items() if (size.features, size.blocks) == (dim, blocks)), None)
    patch = file.shape("encoder.patch_embed.proj.weight")
    if arch is None or patch[1:] != (3, *PATCH):
        known = ", ".join(f"{name} with {size.features} features, {size.blocks} blocks" for name, size in SIZES.items())
        raise InputError(
            f"{file.path}: a PARSeq of another size: {dim} features, {blocks} blocks, patches of {patch[1:]} "
            "(channels, rows, columns).",
            hint=f"supported are {known}; patches of {(3, *PATCH)}",
        )
    characters = file.shape("head.weight")[0] - 1
    rows = HEIGHT // PATCH[0]
    return Converted(
        arch,
        file.tensors,
        f"published weights of {arch}",
        file.metadata.get("charset_train", KNOWN.get(characters)),
        {
            "width": file.shape("encoder.pos_embed")[1] // rows * PATCH[1],
            "max_label_length": file.shape("pos_queries")[1] - 1,
        },
    )
