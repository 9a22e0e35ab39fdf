"""Published recognisers of PP-OCRv6 are recognised by their shapes, and RGB is told from BGR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.inference.default_models import default_model
from ocrctl.inference.engine import Engine, _open_backend
from ocrctl.inference.locate import ModelFile
from ocrctl.inference.published_graph import published_graph
from ocrctl.inference.torch_backend import TorchBackend
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.ppocr.published_recogniser import recognise
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import Converted, Tensors, WeightFile

ARCH = "ppocr-rec-small"
NORMS = ("decoder.skip", "decoder.reduce", "decoder.local")


def model_of(charset: str) -> OCRModel:
    spec = get_spec(ARCH)
    torch.manual_seed(0)
    card = ModelCard(ARCH, "recognition", charset, 48, spec.input_width, 3, spec.max_label_length,
                     preprocessing="keep", kept=spec.kept)  # fmt: skip
    return build_model(card).eval()


def exported(model: OCRModel, characters: str) -> WeightFile:
    """A file as PaddleOCR's exporter writes it: BGR, names without meaning, biases as (1, C, 1, 1), matrices as (in,
    out), batch normalisation apart in the neck, constants of the graph between; the space is not in the metadata."""
    rng, tensors = np.random.default_rng(0), {}
    for number, (name, value) in enumerate(model.named_parameters()):
        values = value.detach().numpy()
        part, _, kind = name.rpartition(".")
        if name == "encoder.stem.halve.weight":
            values = values[:, ::-1]
        if part in NORMS:
            scale = rng.uniform(0.5, 2, values.shape[0] if kind == "bias" else 1).astype(np.float32)
            if kind == "weight":
                scale = rng.uniform(0.5, 2, values.shape[0]).astype(np.float32)
                tensors[f"conv2d_{number}.w_0"] = values / scale[:, None, None, None]
                norm = scale
            else:
                ones = np.ones_like(values)
                tensors[f"batch_norm2d_{number}.w_0"] = norm * np.sqrt(ones + np.float32(1e-5))
                tensors[f"batch_norm2d_{number}.b_0"] = values + norm * 3
                tensors[f"batch_norm2d_{number}.w_1"] = 3 * ones
                tensors[f"batch_norm2d_{number}.w_2"] = ones
        elif values.ndim == 2:
            tensors[f"linear_{number}.w_0"] = values.T
        elif values.ndim == 1 and name.startswith("encoder"):
            tensors[f"p2o.reshape.{number}"] = values.reshape(1, -1, 1, 1)
        else:
            tensors[f"tensor_{number}"] = values
        tensors[f"helper.constant.{number}"] = np.float32([1, 2])
        tensors[f"shape.{number}"] = np.int64([1, -1])
    metadata = {"character": "\n".join(characters) + "\n"}
    return WeightFile(Path("rec.onnx"), "onnx", tensors, metadata, 11)


def converted(file: WeightFile) -> Converted:
    found = recognise(file)
    assert found is not None
    return found


def loaded(found: Converted) -> OCRModel:
    assert found.charset is not None
    model = model_of(found.charset)
    model.load_state_dict({name: torch.tensor(values) for name, values in found.tensors.items()})
    return model


def test_it_reads_as_the_model_that_was_exported() -> None:
    own = model_of("abc ")
    found = converted(exported(own, "abc"))
    assert (found.arch, found.charset) == (ARCH, "abc ")
    images = torch.randint(0, 256, (2, 3, 48, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    widths = torch.tensor([80, 33])
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded(found)(images, widths=widths)["logits"], own(images, widths=widths)["logits"], rtol=1e-3, atol=1e-4
        )


def test_red_and_blue_are_not_confused() -> None:
    own = model_of("abc ")
    red = torch.zeros(1, 3, 48, 64, dtype=torch.uint8)
    red[:, 0] = 255
    with torch.inference_mode():
        read, wanted, swapped = loaded(converted(exported(own, "abc")))(red), own(red), own(red.flip(1))
    torch.testing.assert_close(read["logits"], wanted["logits"], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(read["logits"], swapped["logits"], rtol=1e-3, atol=1e-4)


def test_characters_that_are_not_nfc_become_nfc_or_are_left_out() -> None:
    """U+212B is Å in another code point, U+2126 is Ω: one is there already, one is not."""
    own = model_of("abcdefg")
    found = converted(exported(own, "aÅ\u212b\u2126bc"))
    assert found.charset == "aÅΩbc "
    kept = [0, 1, 2, 4, 5, 6, 7]
    wanted = own.state_dict()["head.linear.weight"].numpy()[kept]
    np.testing.assert_array_equal(found.tensors["head.linear.weight"], wanted)


def test_a_charset_of_another_length_is_refused() -> None:
    file = exported(model_of("abc "), "ab")
    with pytest.raises(InputError, match="has 4 classes and the blank, but names 3 characters with the space"):
        recognise(file)
    nameless = WeightFile(file.path, "onnx", file.tensors, {}, 11)
    with pytest.raises(InputError, match="names no characters"):
        recognise(nameless)


def saved(file: WeightFile, path: Path) -> Path:
    """An ONNX file with the tensors and metadata of `file`."""
    tensors = [onnx.numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in file.tensors.items()]
    graph = onnx.helper.make_graph([], "published", [], [], tensors)
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, dict(file.metadata))
    path.write_bytes(model.SerializeToString())
    return path


def test_onnx_runtime_runs_it_in_the_graph_of_the_shipped_model(tmp_path: Path) -> None:
    """No other number of classes, charset or weight of that model is left: outputs equal those of PyTorch."""
    published = exported(model_of("abcdé "), "abcdé")
    path, graph = saved(published, tmp_path / "rec.onnx"), default_model("rec-latin").path()
    ours = Engine(ModelFile(path, "checkpoint", "rec"), TorchBackend(path, "cpu", 1))
    file = ModelFile(path, "checkpoint", "rec", graph)
    theirs = Engine(file, _open_backend(file, "cpu", 1, None))
    assert (ours.backend, theirs.backend) == ("torch", "onnx")
    assert theirs.card.charset == ours.card.charset == "abcdé "
    assert theirs.card.kept == ours.card.kept and theirs.card.mean == ours.card.mean
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (48, width, 3), np.uint8) for width in (9, 40, 120, 333)]
    for _, batch, widths in ours.batches(images, 2):
        logits = theirs.logits(batch, widths)
        assert logits.shape[2] == 7
        np.testing.assert_allclose(logits, ours.logits(batch, widths), atol=1e-3)
    assert [one.text for one in ours.recognize(images)] == [one.text for one in theirs.recognize(images)]


def test_what_does_not_fit_the_graph_is_refused(tmp_path: Path) -> None:
    graph = default_model("rec-latin").path()
    file = exported(model_of("abc "), "abc")
    short = WeightFile(file.path, "onnx", dict(list(file.tensors.items())[:-8]), file.metadata, 11)
    with pytest.raises(InputError, match=r"rec.onnx: its tensors are not those of ppocr-rec-small"):
        published_graph(saved(short, tmp_path / "rec.onnx"), graph)
    name = next(name for name in file.tensors if name.startswith("conv2d"))
    broken = np.full_like(file.tensors[name], np.nan)
    bad = WeightFile(file.path, "onnx", {**file.tensors, name: broken}, file.metadata, 11)
    with pytest.raises(InputError, match="hold [0-9]+ NaN"):
        published_graph(saved(bad, tmp_path / "rec.onnx"), graph)


def test_other_files_are_not_its_own() -> None:
    file = exported(model_of("abc "), "abc")
    short: Tensors = dict(list(file.tensors.items())[:-8])
    assert recognise(WeightFile(file.path, "onnx", short, file.metadata, 11)) is None
    assert recognise(WeightFile(file.path, "state_dict", file.tensors)) is None
    assert recognise(WeightFile(file.path, "onnx", {"x": np.zeros((2, 2), np.float32)})) is None
