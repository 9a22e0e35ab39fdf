"""Weight files of other projects: every form is read to the same tensors, anything else is refused in one sentence."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from ocrctl.errors import InputError
from ocrctl.models.weight_file import read_weight_file, recognise


def onnx_file(path: Path, tensors: list[TensorProto], **metadata: str) -> Path:
    """An ONNX file that holds nothing but `tensors` and metadata."""
    graph = helper.make_graph([], "g", [], [], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


class Runs:
    """Unpickling it would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "model._orig_mod."])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_pytorch_form_gives_the_same_tensors(
    tmp_path: Path, wrapped: str | None, prefix: str, zipped: bool
) -> None:
    tensors = {"a.weight": torch.randn(2, 3), "b.count": torch.tensor(3), "c": torch.randn(2).bfloat16()}
    named: Any = {prefix + name: value for name, value in tensors.items()}
    torch.save({wrapped: named, "epoch": 3} if wrapped else named, tmp_path / "w.pth",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    found = read_weight_file(tmp_path / "w.pth")
    assert found.kind == "state_dict" and list(found.tensors) == list(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(found.tensors[name], value.float().numpy())


def test_types_that_numpy_lacks_are_named_and_negative_views_read(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2), "b.scale": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: b\.scale is torch\.float8_e4m3fn") as caught:
        read_weight_file(tmp_path / "w.pth")
    assert "float32" in str(caught.value.hint)
    negative = torch.tensor([1 + 2j]).conj().imag
    assert negative.is_neg()
    torch.save({"a": negative}, tmp_path / "w.pth")
    np.testing.assert_array_equal(read_weight_file(tmp_path / "w.pth").tensors["a"], [-2])


def safetensors(path: Path, **entries: tuple[str, list[int], bytes]) -> Path:
    """A safetensors file of (dtype, shape, bytes) by name."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, (dtype, shape, data) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(content), len(content) + len(data)]}
        content += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def test_safetensors_are_read_without_the_package(tmp_path: Path) -> None:
    wanted = torch.tensor([[1.5, -2.0, 3.0]])
    path = safetensors(
        tmp_path / "w.safetensors",
        **{
            "model.a": ("F32", [1, 3], wanted.numpy().tobytes()),
            "model.b": ("BF16", [3], wanted.bfloat16().view(torch.int16).numpy().tobytes()),
            "model.c": ("I64", [], np.array(7).tobytes()),
        },
    )
    found = read_weight_file(path)
    assert (found.kind, list(found.tensors), found.metadata) == ("state_dict", ["a", "b", "c"], {"format": "pt"})
    np.testing.assert_array_equal(found.tensors["a"], wanted.numpy())
    np.testing.assert_array_equal(found.tensors["b"], wanted.numpy()[0])
    assert found.tensors["c"].shape == () and found.tensors["c"] == 7
    for entry in (("F32", [4], bytes(12)), ("F9", [3], bytes(12)), ("F32", [-3], bytes(12)), ("F32", ["x"], b"")):
        with pytest.raises(InputError, match="a damaged safetensors file"):
            read_weight_file(safetensors(tmp_path / "odd.safetensors", a=entry))  # type: ignore[arg-type]
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="a damaged safetensors file"):
        read_weight_file(tmp_path / "cut.safetensors")


def test_hyperparameters_of_a_lightning_checkpoint_are_metadata(tmp_path: Path) -> None:
    settings = {"charset_train": "abc", "img_size": [32, 128], "lr": 0.1}
    torch.save({"state_dict": {"model.a": torch.zeros(1)}, "hyper_parameters": settings}, tmp_path / "w.ckpt")
    found = read_weight_file(tmp_path / "w.ckpt")
    assert found.metadata == {"charset_train": "abc", "img_size": "[32, 128]", "lr": "0.1"}


def test_initialisers_of_an_onnx_file_are_read_in_every_encoding(tmp_path: Path) -> None:
    arrays = {
        "f": np.array([[1.5, -2.0]], np.float32), "h": np.array([0.5, -3], np.float16), "d": np.array([1e300]),
        "l": np.array([-(1 << 40), 7], np.int64), "i": np.array([-5], np.int32), "b": np.array([True, False]),
        "none": np.zeros(0, np.float32), "scalar": np.array(4.0, np.float32),
    }  # fmt: skip
    raw = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    plain = [
        helper.make_tensor("p." + name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, value.ravel())
        for name, value in arrays.items()
    ]
    path = onnx_file(tmp_path / "w.onnx", raw + plain, character="a\nb")
    found = read_weight_file(path)
    assert (found.kind, found.opset, found.metadata) == ("onnx", 11, {"character": "a\nb"})
    assert list(found.tensors) == [*arrays, *(f"p.{name}" for name in arrays)]
    for name, value in found.tensors.items():
        expected = arrays[name.removeprefix("p.")]
        assert value.dtype == expected.dtype and value.shape == expected.shape
        np.testing.assert_array_equal(value, expected)


def test_files_without_usable_weights_are_refused(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(InputError) as caught:
            read_weight_file(path)
        assert str(path) in caught.value.message and "\n" not in caught.value.message
        return caught.value.message

    code, plain, script, whole = (tmp_path / name for name in ("code.pth", "plain.pth", "script.pt", "whole.pth"))
    torch.save({"a": torch.zeros(1), "b": Runs()}, code)
    assert "holds pickled code (posix.system" in refused(code) or os.name == "nt"
    torch.save(torch.nn.Linear(2, 2), whole)
    assert "holds pickled code (torch.nn.modules.linear.Linear)" in refused(whole)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), script)
    assert "holds pickled code (a TorchScript archive)" in refused(script)
    torch.save([1, 2], plain)
    assert "should be named tensors, found list" in refused(plain)
    torch.save({}, plain)
    assert "holds no tensors" in refused(plain)

    torch.save({"a": torch.zeros(1000)}, plain)
    (tmp_path / "cut.pth").write_bytes(plain.read_bytes()[:2000])
    assert "a PyTorch file that is cut off or damaged" in refused(tmp_path / "cut.pth")
    torch.save({"a": torch.zeros(1000)}, plain, _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pth").write_bytes(plain.read_bytes()[:2000])
    assert "a PyTorch file that is cut off or damaged" in refused(tmp_path / "cut.pth")
    with zipfile.ZipFile(tmp_path / "words.pth", "w") as file:
        file.writestr("words.txt", "whole, and no weights")
    assert "none that can be loaded safely" in refused(tmp_path / "words.pth")
    graph = onnx_file(tmp_path / "w.onnx", [numpy_helper.from_array(np.zeros(1000, np.float32), "a")])
    (tmp_path / "cut.onnx").write_bytes(graph.read_bytes()[:2000])
    assert "not an ONNX file, or a damaged one" in refused(tmp_path / "cut.onnx")
    (tmp_path / "text.pth").write_text("hello")
    assert "expected a PyTorch, safetensors or ONNX file, found none of them" in refused(tmp_path / "text.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    assert "found an empty file" in refused(tmp_path / "empty.pth")
    assert "no such file" in refused(tmp_path / "missing.pth")
    refused(tmp_path)
    assert "holds no initialisers" in refused(onnx_file(tmp_path / "bare.onnx", []))
    outside = numpy_helper.from_array(np.zeros(4, np.float32), "a")
    outside.ClearField("raw_data")
    outside.external_data.add(key="location", value="w.bin")
    assert "keeps its weights in another file" in refused(onnx_file(tmp_path / "split.onnx", [outside]))


def test_a_file_that_no_family_knows_is_recognised_as_none(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    assert recognise(read_weight_file(tmp_path / "w.pth")) is None
