"""Run published weights in the graph of an exported model of the same architecture, without PyTorch.

Both have the same operators, so the file of one becomes that of the other when weights, classes and charset are put in.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ocrctl.config.model_card import CARD_KEY
from ocrctl.errors import InputError
from ocrctl.models.card import read_card
from ocrctl.models.family import load_part
from ocrctl.models.finite_arrays import not_finite
from ocrctl.models.onnx_rewrite import rewritten
from ocrctl.models.onnx_tensors import read_onnx_tensors
from ocrctl.models.registry import family_of
from ocrctl.models.weight_file import WeightFile

OWN = "model."  # prefix of the weights in a file of `export --precision fp16-weights`


def published_graph(path: Path, graph: Path) -> bytes:
    """Return the ONNX file at `graph` with the published weights of the ONNX file at `path`, and with their charset.

    `graph` is one that names its weights (`export --precision fp16-weights`). Raises InputError when a file cannot be
    read, or `path` does not hold finite weights of the architecture of `graph`.
    """
    own, source = read_onnx_tensors(graph), read_onnx_tensors(path)
    card = read_card(own.metadata[CARD_KEY], str(graph))
    shapes = {name.removeprefix(OWN): values.shape for name, values in own.tensors.items() if name.startswith(OWN)}
    file = WeightFile(path, "onnx", source.tensors, source.metadata, source.opset)
    found = load_part(family_of(card.arch).published_order)(file, shapes)
    if found is None:
        raise InputError(f"{path}: its tensors are not those of {card.arch}.", hint="use the file as it was published")
    tensors, charset = found
    for name, values in tensors.items():
        if held := not_finite(values, infinite=True):
            raise InputError(f"{path}: its weights {name} hold {held}.", hint="download or copy it again")
    weights = {OWN + name: values.astype(np.float32) for name, values in tensors.items()}
    metadata = {CARD_KEY: replace(card, charset=charset).to_json()}
    classes = len(card.charset) + 1, len(charset) + 1
    return rewritten(graph.read_bytes(), own, weights, metadata, classes)
