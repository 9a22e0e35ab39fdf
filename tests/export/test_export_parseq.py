"""PARSeq as ONNX: both ways of reading, refinement in the graph, the batch free, the same strings as PyTorch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.data.images.decode import decode
from ocrctl.errors import UsageError
from ocrctl.export.parity import probe_images
from ocrctl.models import build
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.parseq.model import SIZES

LONGEST = 6  # characters


@pytest.fixture(scope="module", autouse=True)
def shallow() -> object:
    """One block in the encoder, for the exporter's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "parseq-tiny", replace(SIZES["parseq-tiny"], blocks=1))
        yield


@pytest.fixture(scope="module")
def checkpoint(shallow: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """best.ckpt of an untrained model that says different things of different images, some of them short."""
    card = ModelCard("parseq-tiny", "recognition", "abcdefgh", 32, 128, 3, LONGEST, model={"refine": 1})
    torch.manual_seed(1)
    model = build.build_model(card)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(1.5 if name.startswith("encoder.blocks") else 6)
    path = tmp_path_factory.mktemp("runs") / "parseq" / "best.ckpt"
    path.parent.mkdir()
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)
    return path


@pytest.mark.parametrize("decoding", ["ar", pytest.param("nar", marks=pytest.mark.slow)])
def test_the_graph_reads_what_the_checkpoint_reads(
    checkpoint: Path, tmp_path: Path, word_folder: Path, decoding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(checkpoint), "-o", str(tmp_path), "--verify", str(word_folder), "--json", "-q"]
    assert run([*arguments, "--decoding", decoding]) == 0
    out, err = capfd.readouterr()
    (written,) = json.loads(out)["models"]
    assert [check["samples"] for check in written["checks"]] == [1, 17, 12]
    assert all(check["max_abs_diff"] < 1e-3 and not check["differing"] for check in written["checks"])
    assert "constant folding" not in err

    theirs = Engine.load(tmp_path, device="cpu")
    ours = Engine.load(checkpoint, device="cpu", decoding=decoding)
    assert theirs.card.model["decoding"] == decoding and theirs.backend == "onnx"
    batch = np.stack(probe_images(ours, 40, seed=3))
    texts = [result.text for result in ours.recognize_prepared(batch)]
    assert texts == [result.text for result in theirs.recognize_prepared(batch)]
    assert len(set(texts)) > 3 and len(set(map(len, texts))) > 1  # else equality would say little
    alone = np.concatenate([theirs.logits(row[None]) for row in batch[:5]])
    np.testing.assert_allclose(theirs.logits(batch)[:5], alone, atol=1e-3)
    graph = onnx.load(tmp_path / "parseq.onnx").graph
    assert [node.op_type for node in graph.node].count("Loop") == (decoding == "ar") and len(graph.node) < 400
    if decoding == "ar":
        _the_loop_ends_with_the_longest_text(checkpoint, tmp_path / "parseq.onnx", batch)
    session = onnxruntime.InferenceSession(str(tmp_path / "parseq.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].shape[1:] == [LONGEST + 1, 9]
    with pytest.raises(UsageError, match=f"reads by '{decoding}', which is part of the graph"):
        Engine.load(tmp_path, device="cpu", decoding="nar" if decoding == "ar" else "ar")
    _program_of_the_documentation(theirs, tmp_path, word_folder, capfd)


def _the_loop_ends_with_the_longest_text(checkpoint: Path, path: Path, batch: np.ndarray) -> None:
    """No step is computed once every text of the batch has ended."""
    model = build.build_trained(*load_checkpoint(checkpoint), checkpoint)
    with torch.inference_mode():
        logits = model.generate(torch.from_numpy(batch).permute(0, 3, 1, 2), refine=0)["logits"].numpy()
    lengths = (logits.argmax(2) != 0).sum(1)
    assert len(set(lengths.tolist())) > 1
    proto = onnx.load(path)
    (loop,) = [node for node in proto.graph.node if node.op_type == "Loop"]
    proto.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info(loop.output[0], onnx.TensorProto.INT64, []))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for longest in sorted(set(lengths.tolist())):
        rows = batch[lengths <= longest].transpose(0, 3, 1, 2)
        steps = session.run([loop.output[0]], {"images": np.ascontiguousarray(rows)})[0]
        assert steps == min(longest + 1, LONGEST + 1)


def _program_of_the_documentation(
    engine: Engine, exported: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    blocks = (Path(__file__).parents[2] / "docs" / "reference" / "export.md").read_text("utf-8").split("```python\n")
    start = blocks[1].split("```")[0].split("best = ")[0]
    program = start + blocks[2].split("```")[0] + "print(text)\n"
    for path in sorted(folder.glob("*.png"))[:4]:
        exec(program.replace("exported/last.onnx", str(exported / "parseq.onnx")).replace("word.png", str(path)), {})
        printed = capfd.readouterr().out.removesuffix("\n")
        assert printed == engine.recognize([decode(path.read_bytes(), path.name)])[0].text


@pytest.mark.slow
def test_a_loop_with_half_weights_reads_the_same_and_keeps_every_weight(
    checkpoint: Path, tmp_path: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(checkpoint), "-o", str(tmp_path), "--precision", "fp16-weights", "--json", "-q"]
    assert run([*arguments, "--decoding", "ar"]) == 0
    assert all(check["max_abs_diff"] < 1e-3 for check in json.loads(capsys.readouterr().out)["models"][0]["checks"])
    _, weights = load_checkpoint(tmp_path / "parseq.onnx")
    _, own = load_checkpoint(checkpoint)
    assert weights.keys() == own.keys()
    for name, value in own.items():
        np.testing.assert_allclose(weights[name].numpy(), value.numpy(), rtol=1e-3, atol=1e-3)


def test_decoding_asked_of_ctc_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path), "--decoding", "nar"]) == 2
    assert "only autoregressive models have several decodings" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
