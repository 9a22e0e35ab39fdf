"""Tree edits inside containers: checkpoints, npz files, model cards of ONNX files, LMDB entries."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import edits
import lmdb


def apply(path: Path, edit: edits.Edit) -> None:
    """Change what the container at `path` holds, and write it whole again: checksums fit, the content is odd. One that
    cannot be opened any more stays as it is."""
    if edit["op"] != "tree" or not path.is_file() or path.is_symlink():
        edits.apply(path, edit)
        return
    try:
        _CONTAINERS[path.suffix](path, edit)
    except _UNWRITABLE:
        pass  # a value that this container cannot hold


_UNWRITABLE = (
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    OverflowError,
    RecursionError,
    struct.error,
    OSError,
    lmdb.Error,
)


def _checkpoint(path: Path, edit: edits.Edit) -> None:
    import torch

    raw: Any = torch.load(path, map_location="cpu", weights_only=True)
    steps = edit["steps"]
    if steps and steps[0] % 3 == 0:  # the card is one of many members, and the most likely to be odd
        card = edits.changed(json.loads(raw["ocrctl"]), {**edit, "steps": steps[1:]})
        raw["ocrctl"] = json.dumps(card)
    else:
        raw = edits.changed(raw, {**edit, "value": _tensor_of(edit["value"])})
    torch.save(raw, path)


def _tensor_of(value: Any) -> Any:
    """Odd texts stand for odd tensors, too."""
    import torch

    odd = {
        "": torch.zeros(0), "###": torch.zeros(3, 3), "nan": torch.full((2,), float("nan")),
        "\0": torch.zeros(1).expand(9),
        "true": torch.zeros(2, dtype=torch.bool), "null": torch.zeros(2, device="meta"), "\n": torch.zeros(()),
        " ": torch.zeros(2, dtype=torch.complex64),
    }  # fmt: skip
    return odd.get(value, value) if isinstance(value, str) else value


def _onnx(path: Path, edit: edits.Edit) -> None:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path)
    except DecodeError:
        return
    [item] = graph.metadata_props
    steps = edit["steps"]
    if steps and steps[0] % 3 == 0:
        nodes = graph.graph.node
        node = nodes[steps[-1] % len(nodes)]
        if edit["how"] == "drop":
            nodes.remove(node)
        elif node.attribute and isinstance(edit["value"], (int, float)):
            node.attribute[0].i = int(edit["value"]) % (1 << 20)
        else:
            node.op_type = "Identity"
    else:
        item.value = json.dumps(edits.changed(json.loads(item.value), {**edit, "steps": steps[:2]}))
    onnx.save(graph, path)


def _npz(path: Path, edit: edits.Edit) -> None:
    import numpy as np

    with np.load(path) as file:
        arrays: dict[str, Any] = dict(file)
    names = sorted(arrays)
    name = names[edit["steps"][0] % len(names)] if edit["steps"] else names[0]
    if edit["how"] == "drop":
        del arrays[name]
    elif edit["how"] == "add":
        arrays[str(edit["value"])[:20].replace("/", "_").replace("\0", "") or "x"] = arrays[name]
    else:
        arrays[name] = (
            np.asarray(edit["value"]) if isinstance(edit["value"], (int, float, bool)) else arrays[name][:, None]
        )
    np.savez(path, **arrays)


def _lmdb(path: Path, edit: edits.Edit) -> None:
    with (
        lmdb.open(str(path.parent), map_size=1 << 20, lock=False) as environment,
        environment.begin(write=True) as change,
    ):
        keys = [key for key, _ in change.cursor()]
        key = keys[edit["steps"][0] % len(keys)] if edit["steps"] and keys else b"num-samples"
        value = str(edit["value"]).encode("utf-8", "surrogatepass")[:4000]
        if edit["how"] == "drop":
            change.delete(key)
        else:
            change.put(value[:500] or b"x" if edit["how"] == "add" else key, value)


_CONTAINERS = {".ckpt": _checkpoint, ".onnx": _onnx, ".npz": _npz, ".mdb": _lmdb}
