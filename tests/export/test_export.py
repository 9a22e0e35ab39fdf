"""Export: the file stands alone, answers as the checkpoint does, and does not appear when it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import ModelCard
from ocrctl.core.export import run as core_export
from ocrctl.data.images.decode import decode
from ocrctl.errors import InputError, MissingRequirement
from ocrctl.export.parity import compare, differences, largest_logits, probe_images
from ocrctl.inference.engine import Recognition

CPU = ["CPUExecutionProvider"]
SetBias = Callable[[int, float], None]


@pytest.fixture
def exported(tiny_onnx: Path) -> Path:
    return tiny_onnx


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> SetBias:
    """Lets `export` take the graph of the tiny model that is there already, in place of seconds of tracing; the
    function that is returned adds to the bias of a class."""
    proto = onnx.load(exported)
    monkeypatch.setattr(core_export, "to_onnx", lambda *_, **__: proto)

    def add_to_bias(label: int, value: float) -> None:
        (tensor,) = (one for one in proto.graph.initializer if one.name.endswith("linear.bias"))
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[label] += value
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    return add_to_bias


def test_the_samples_are_compared_before_the_file_appears(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(tiny_checkpoint.parent), "-o", str(tmp_path), "--verify", str(word_folder), "--json"]
    assert run(arguments) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert [check["samples"] for check in model["checks"]] == [1, 17, 12]
    assert all(check["max_abs_diff"] < 1e-3 and not check["differing"] for check in model["checks"])
    assert (
        model["path"] == str(tmp_path / "tiny.onnx") and model["size_bytes"] == (tmp_path / "tiny.onnx").stat().st_size
    )


def test_bare_onnxruntime_opens_it_as_documented(exported: Path, tiny_checkpoint: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=CPU)
    (images,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape[1:]) == ("images", "tensor(uint8)", [1, 32, 100])
    assert (logits.name, logits.type, logits.shape[1:]) == ("logits", "tensor(float)", [25, 37])
    card = ModelCard.from_json(session.get_modelmeta().custom_metadata_map["ocrctl"])
    assert card == Engine.load(tiny_checkpoint, device="cpu").card
    for size in (1, 2, 5, 64):
        batch = np.zeros((size, 1, 32, 100), np.uint8)
        assert session.run(["logits"], {"images": batch})[0].shape == (size, 25, 37)


def test_both_backends_agree_and_rows_do_not_depend_on_the_batch(exported: Path, tiny_checkpoint: Path) -> None:
    ours, theirs = Engine.load(tiny_checkpoint, device="cpu"), Engine.load(exported, device="cpu")
    assert (ours.backend, theirs.backend) == ("torch", "onnx")
    batch = np.stack(probe_images(ours, 33, seed=5))
    np.testing.assert_allclose(ours.logits(batch), theirs.logits(batch), atol=1e-3)
    alone = np.concatenate([theirs.logits(row[None]) for row in batch])
    np.testing.assert_allclose(theirs.logits(batch), alone, atol=1e-3)
    texts = [result.text for result in ours.recognize_prepared(batch)]
    assert texts == [result.text for result in theirs.recognize_prepared(batch)] and len(set(texts)) > 5


def test_the_bundle_folder_is_a_model(exported: Path) -> None:
    assert Engine.load(exported.parent, device="cpu").path == exported


def test_no_path_of_the_exporting_machine_is_in_the_file(exported: Path) -> None:
    content = exported.read_bytes()
    for trace in (str(Path.home()), "site-packages", ".py", str(Path(__file__).parents[2])):
        assert trace.encode() not in content, trace


def test_the_file_is_one_and_nothing_is_left_beside_it(exported: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == ["tiny.onnx"]
    assert not any(tensor.external_data for tensor in onnx.load(str(exported)).graph.initializer)


def test_a_stopped_export_leaves_no_folder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(core_export, "to_onnx", stopped)
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path / "new")]) == 130
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path / "mine")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_gap_is_exit_1_with_the_numbers_and_no_file(
    tiny_checkpoint: Path, traced: SetBias, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exported weights are changed behind the command's back: it has to see that."""
    traced(5, 40.0)
    (tmp_path / "tiny.onnx").write_bytes(b"the older export")
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path), "--json"]) == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["ok"] is False and result["models"][0]["path"] is None
    assert result["models"][0]["checks"][1]["max_abs_diff"] == pytest.approx(40, abs=1)
    assert "logits differ by 40" in err and "strings differ" in err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]
    assert (tmp_path / "tiny.onnx").read_bytes() == b"the older export"


def test_a_gap_of_the_size_of_rounding_names_the_tolerance_that_accepts_it(
    tiny_checkpoint: Path, traced: SetBias, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traced(5, 0.004)
    given = ["export", str(tiny_checkpoint), "-o", str(tmp_path)]
    assert run([*given, "--tolerance", "logits=1e-5"]) == 1
    hint = capsys.readouterr().err.splitlines()[-1]
    assert hint.startswith("hint: all strings are equal; to accept this difference, add --tolerance logits=0.00")
    assert run([*given, *hint.split()[-2:]]) == 0
    traced(5, 0.5)
    capsys.readouterr()
    assert run([*given, "--tolerance", "strings=1"]) == 1 and "hint" not in capsys.readouterr().err


def test_non_finite_logits_are_a_gap(exported: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Engine.load(tiny_checkpoint, device="cpu"), Engine.load(exported, device="cpu")
    batch = probe_images(ours, 2)
    monkeypatch.setattr(theirs, "logits", lambda given, widths: np.full_like(ours.logits(given), np.nan))
    assert compare(ours, theirs, "nan", [(["a", "b"], [[image] for image in batch])]).max_diff == float("inf")


def test_the_allowed_difference_of_a_logit_grows_with_the_largest_of_its_step() -> None:
    """Before: with the logit itself; then PyTorch's own rounding was too large for small logits of a sure model."""
    ours = np.array([[[0.5, -20.0, 40.0], [0.5, 0.2, -1e4]]], np.float32)
    scale = largest_logits(ours)
    assert scale.ravel().tolist() == [40.0, 0.5]
    moved = np.array([[[0.02, -0.004, 0.01], [0.0, 0.0, 0.0]]], np.float32)
    assert differences(ours, ours + moved, scale)[1] == pytest.approx(0.0005, rel=1e-2)
    assert differences(ours, ours + moved[:, ::-1], scale)[1] == pytest.approx(0.02, rel=1e-2)


def test_the_allowed_difference_grows_with_the_value() -> None:
    ours = np.array([[0.5, -20.0, 40.0]], np.float32)
    absolute, relative = differences(ours, ours + np.array([[0.0005, -0.004, 0.02]], np.float32))
    assert absolute == pytest.approx(0.02, rel=1e-3) and relative == pytest.approx(0.0005, rel=1e-2)
    assert differences(ours, ours + np.array([[0.0, 0.0, np.nan]], np.float32)) == (float("inf"), float("inf"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--tolerance", "logit=1"], 2, "Did you mean 'logits'?"),
        (["--tolerance", "logits"], 2, "expected METRIC=NUMBER"),
        (["--verify", "gone/words"], 3, "gone/words"),
        (["--verify", "synth:pages"], 2, "finite set"),
    ],
)
def test_wrong_options(
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path), *arguments]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_with_folded_weights_is_not_exported_again(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(exported), "-o", str(tmp_path)]) == 3
    assert "its weights are folded into the graph" in capsys.readouterr().err


def test_two_models_of_one_name_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert run(["export", str(tiny_checkpoint), str(tiny_checkpoint.parent), "-o", str(tmp_path)]) == 2


def test_onnx_without_our_metadata_is_refused(exported: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(exported))
    del proto.metadata_props[:]
    onnx.save(proto, str(tmp_path / "bare.onnx"))
    with pytest.raises(InputError, match="it holds no model card"):
        Engine.load(tmp_path / "bare.onnx", device="cpu")


def test_a_card_that_does_not_fit_the_graph_is_refused(exported: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(exported))
    card = json.loads(proto.metadata_props[0].value) | {"width": 128}
    proto.metadata_props[0].value = json.dumps(card)
    onnx.save(proto, str(tmp_path / "odd.onnx"))
    with pytest.raises(InputError, match="the graph takes"):
        Engine.load(tmp_path / "odd.onnx", device="cpu")


def test_cuda_provider_that_does_not_load_is_exit_4(exported: Path) -> None:
    try:
        engine = Engine.load(exported, device="cuda")
    except MissingRequirement as error:
        assert error.exit_code == 4 and "CUDA" in error.message
    else:
        assert engine.device == "cuda:0"


def test_the_program_of_the_documentation_reads_what_the_engine_reads(
    exported: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "export.md").read_text("utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    engine = Engine.load(exported, device="cpu")
    for path in sorted(word_folder.glob("*.png")):
        exec(program.replace("exported/last.onnx", str(exported)).replace("word.png", str(path)), {})
        printed = capsys.readouterr().out.removesuffix("\n")
        assert printed == engine.recognize([decode(path.read_bytes(), path.name)])[0].text


@pytest.mark.usefixtures("traced")
def test_words_of_the_stream_verify_as_the_readme_says(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ocrctl.core.export.run.VERIFY_SYNTH", 70)
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path / "out"), "--verify", "synth:words"]) == 0
    assert "synth:words: 70 of 70 strings equal" in "".join(capsys.readouterr())


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(core_export, "_export_one", lambda *_: pytest.fail("work was begun"))
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path / "file" / "out")]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_empty_strings_on_both_sides_are_no_agreement(
    tiny_checkpoint: Path,
    mute_checkpoint: Path,
    traced: SetBias,
    word_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before: "12 of 12 strings equal", exit 0, and a file that reads nothing."""
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in (tiny_checkpoint, mute_checkpoint)]
    traced(0, float(weights[1]["model.head.linear.bias"][0] - weights[0]["model.head.linear.bias"][0]))
    arguments = ["export", str(mute_checkpoint), "-o", str(tmp_path / "out"), "--verify", str(word_folder)]
    assert run(arguments) == 1
    said = capsys.readouterr().err
    assert "reads nothing (12 of 12 predictions are empty), so nothing was compared" in said and "next:" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("traced")
def test_a_plain_export_warns_of_a_model_that_reads_nothing(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "ocrctl.inference.engine.Engine.decode", lambda self, logits, *_: [Recognition("", 0.0)] * len(logits)
    )
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert "reads nothing: 32 of 32 predictions are empty, which are rendered words." in err
    assert list(tmp_path.glob("*.onnx")), "it is only a warning"
