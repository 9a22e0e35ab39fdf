"""The engine: order, batching, caching, both backends, and everything that is no model."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ocrctl import Engine
from ocrctl.core.model.info import model_info
from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.inference.locate import locate
from ocrctl.runtime import parse_device

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (20 + 7 * i, 60 + 31 * i, 3), dtype=np.uint8) for i in range(9)]


@pytest.fixture
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine.load(tiny_checkpoint, device="cpu")


def test_results_keep_input_order_whatever_the_batch(engine: Engine) -> None:
    one_by_one = [engine.recognize([picture])[0] for picture in PICTURES]
    assert len({result.text for result in one_by_one}) > 1  # else order would be untested
    for batch_size in (1, 2, 4, 64):
        together = engine.recognize(PICTURES, batch_size=batch_size)
        assert [result.text for result in together] == [result.text for result in one_by_one]
        np.testing.assert_allclose(
            [result.confidence for result in together], [result.confidence for result in one_by_one], rtol=1e-4
        )


def test_confidence_is_the_geometric_mean_of_softmax_over_the_kept_steps(engine: Engine) -> None:
    batch = np.stack([engine.prepare(picture) for picture in PICTURES])
    probabilities = torch.from_numpy(engine.logits(batch)).double().softmax(-1).numpy()
    for row, result in zip(probabilities, engine.recognize(PICTURES), strict=True):
        last, kept, text = 0, [], ""
        for step in row:
            best = int(step.argmax())
            if best not in (0, last):
                kept.append(step[best])
                text += engine.card.charset[best - 1]
            last = best
        assert result.text == text
        assert result.confidence == pytest.approx(float(np.exp(np.log(kept).mean())) if kept else 0.0, rel=1e-4)


def test_no_images_no_results(engine: Engine) -> None:
    assert engine.recognize([]) == []


def test_a_model_is_loaded_once_per_process_until_its_file_changes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.ckpt"
    path.write_bytes(tiny_checkpoint.read_bytes())
    first = Engine.load(path, device="cpu")
    assert Engine.load(str(path), device="cpu") is first
    path.touch()
    assert Engine.load(path, device="cpu") is not first


def test_grey_float_and_empty_arrays_are_refused(engine: Engine) -> None:
    for picture in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(InputError, match="RGB uint8"):
            engine.recognize([picture])  # type: ignore[list-item]


def test_engine_needs_no_writable_place(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Arrays in, dataclasses out: the process writes no file."""
    code = f"""
import os, tempfile
import numpy as np
from ocrctl import Engine
os.chdir({str(tmp_path)!r})
engine = Engine.load({str(tiny_checkpoint)!r}, device="cpu")
def refuse(*args, **kwargs): raise AssertionError(f"wrote a file: {{args}}")
tempfile.NamedTemporaryFile = tempfile.mkstemp = tempfile.mkdtemp = refuse
engine.recognize([np.zeros((32, 64, 3), np.uint8)])
assert not os.listdir(".")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_run_folder_means_best_then_last(tmp_path: Path, tiny_checkpoint: Path) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    (run / "last.ckpt").write_bytes(tiny_checkpoint.read_bytes())
    assert (locate(run).path.name, locate(run).name) == ("last.ckpt", "my-run")
    (run / "best.ckpt").write_bytes(tiny_checkpoint.read_bytes())
    assert locate(run).path.name == "best.ckpt"


def test_bundle_folder_means_its_one_onnx_file(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\x08\x0a")
    assert locate(tmp_path).kind == "onnx"
    (tmp_path / "b.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(InputError, match="several ONNX files"):
        locate(tmp_path)


def test_an_existing_path_wins_over_a_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no such default model"):
        locate("default:word")
    Path("default:word").write_bytes(tiny_checkpoint.read_bytes())
    assert locate("default:word").kind == "checkpoint"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "model.ckpt", "empty file"),
        (b"not a checkpoint at all", "model.ckpt", "not a checkpoint"),
        (b"\x08\x0anot a graph", "model.onnx", "not an ONNX file, or a damaged one"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, name: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Engine.load(path, device="cpu")
    assert str(path) in caught.value.message and "\n" not in caught.value.message


def test_a_truncated_exported_file_is_one_sentence_with_the_fix(tmp_path: Path, tiny_onnx: Path) -> None:
    """Named itself, or as the one file of a bundle, which ONNX Runtime finds damaged; `model info` says the same."""
    path = tmp_path / "bundle" / "cut.onnx"
    path.parent.mkdir()
    path.write_bytes(tiny_onnx.read_bytes()[:5000])
    for load in (Engine.load, lambda model: model_info(str(model))):
        for model in (path, path.parent):
            with pytest.raises(InputError, match=r"cut\.onnx: not an ONNX file, or a damaged one") as caught:
                load(model)
            assert "\n" not in caught.value.message and "ONNXRuntimeError" not in caught.value.message
            assert caught.value.hint == "download or copy it again"


def test_the_name_of_an_architecture_is_no_trained_model() -> None:
    with pytest.raises(UsageError, match="'craft' is an architecture, not a trained model") as caught:
        locate("craft")
    assert "ocrctl train craft -d" in str(caught.value.hint)
    assert "ocrctl model import FILE --as craft -o craft.ckpt" in str(caught.value.hint)
    with pytest.raises(UsageError, match="'pan' is an architecture") as caught:
        locate("pan")
    assert "import" not in str(caught.value.hint)  # no published weights of it are known
    with pytest.raises(UsageError, match="no such file") as caught:
        locate("rec-latin")
    assert caught.value.hint == "the default model is default:rec-latin"


def test_the_paddle_scheme_takes_published_files_only(
    tmp_path: Path, tiny_checkpoint: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "published", [], [])), "rec.onnx")
    found = locate("paddle:rec.onnx")
    assert (found.path, found.kind, found.name) == (Path("rec.onnx"), "checkpoint", "rec")
    assert found == locate("rec.onnx")
    with pytest.raises(
        InputError, match="paddle:no.onnx: expected an ONNX file of PaddleOCR at no.onnx, found nothing"
    ):
        locate("paddle:no.onnx")
    with pytest.raises(InputError, match="found a folder"):
        locate("paddle:.")
    with pytest.raises(InputError, match="ocrctl exported this file, PaddleOCR did not") as caught:
        locate(f"paddle:{tiny_onnx}")
    assert caught.value.hint == f"without the prefix: {tiny_onnx}"
    with pytest.raises(InputError, match="not an ONNX file, or a damaged one"):
        locate(f"paddle:{tiny_checkpoint}")
    with pytest.raises(InputError, match="holds no initialisers"):  # read as without the prefix
        Engine.load("paddle:rec.onnx", device="cpu")
    Path("paddle:rec.onnx").write_bytes(tiny_onnx.read_bytes())  # an existing path wins
    assert locate("paddle:rec.onnx").kind == "onnx"


def test_missing_model_names_the_nearest(tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "words.ckpt").write_bytes(tiny_checkpoint.read_bytes())
    with pytest.raises(InputError, match=r"words\.ckpt"):
        Engine.load(tmp_path / "word.ckpt", device="cpu")


def test_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a run folder"):
        Engine.load(tmp_path, device="cpu")


class _Bomb:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (exec, (f"open({self.mark!r}, 'w').close()",))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_bomb_is_refused_and_does_not_run(tmp_path: Path, wrapped: bool) -> None:
    mark, path = tmp_path / "ran", tmp_path / "bomb.ckpt"
    if wrapped:
        torch.save({"ocrctl": _Bomb(str(mark)), "state_dict": {}}, path)
        assert zipfile.is_zipfile(path)
    else:
        path.write_bytes(pickle.dumps(_Bomb(str(mark))))
    with pytest.raises(InputError, match="holds pickled code|safely"):
        Engine.load(path, device="cpu")
    assert not mark.exists()


def test_a_checkpoint_without_a_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)
    with pytest.raises(InputError, match="holds no model card"):
        Engine.load(path, device="cpu")
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="holds no tensors"):
        Engine.load(path, device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", ""])
def test_unknown_devices_are_usage_errors(device: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu, cuda"):
        parse_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent_is_exit_4_never_the_cpu(tiny_checkpoint: Path) -> None:
    with pytest.raises(MissingRequirement, match="finds no CUDA device") as caught:
        Engine.load(tiny_checkpoint, device="cuda")
    assert caught.value.exit_code == 4
    assert Engine.load(tiny_checkpoint, device="auto").device == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_reads_what_the_cpu_reads(tiny_checkpoint: Path, engine: Engine) -> None:
    cuda = Engine.load(tiny_checkpoint, device="cuda:0")
    assert cuda.device == "cuda:0"
    batch = np.stack([engine.prepare(picture) for picture in PICTURES])
    np.testing.assert_allclose(cuda.logits(batch), engine.logits(batch), atol=2e-2)  # TF32 convolutions
    with pytest.raises(MissingRequirement, match="CUDA devices"):
        Engine.load(tiny_checkpoint, device=f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("charset", "abc", "the charset of its card has 3 characters, which needs logits of 4 classes"),
        ("charset", "aab" + "c" * 33, "the charset of its card is damaged: The charset repeats"),
        ("height", "32", "height should be an integer"),
        ("arch", "rnnt", "Unknown architecture 'rnnt'"),
    ],
)
def test_an_onnx_file_whose_card_does_not_fit(
    tiny_onnx: Path, tmp_path: Path, field: str, value: object, said: str
) -> None:
    import onnx

    graph = onnx.load(tiny_onnx)
    [item] = [item for item in graph.metadata_props if item.key == "ocrctl"]
    item.value = json.dumps({**json.loads(item.value), field: value})
    path = tmp_path / "odd.onnx"
    onnx.save(graph, path)
    with pytest.raises(InputError, match="odd.onnx: ") as caught:
        Engine.load(path, device="cpu")
    assert said in caught.value.message


def test_an_onnx_file_with_metadata_that_is_not_utf8(tiny_onnx: Path, tmp_path: Path) -> None:
    content = tiny_onnx.read_bytes()
    path = tmp_path / "odd.onnx"
    path.write_bytes(content.replace(b'"arch": "crnn', b'"arch": "\xff\xffnn'))
    assert path.read_bytes() != content
    with pytest.raises(InputError, match="odd.onnx: "):
        Engine.load(path, device="cpu")
