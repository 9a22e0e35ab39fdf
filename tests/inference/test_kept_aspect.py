"""Models that keep the aspect ratio: order, batches, both backends, commands, and images of extreme sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.errors import InputError

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (20 + 7 * (i % 4), 11 + 37 * i, 3), dtype=np.uint8) for i in range(12)]


@pytest.fixture
def bundle(kept_onnx: Path) -> Path:
    return kept_onnx


def test_results_are_in_input_order_whatever_the_batch(kept_checkpoint: Path) -> None:
    engine = Engine.load(kept_checkpoint, device="cpu")
    alone = [engine.recognize([picture])[0] for picture in PICTURES]
    assert len({result.text for result in alone}) > 5
    for size in (1, 3, 64):
        together = engine.recognize(PICTURES, batch_size=size)
        assert [result.text for result in together] == [result.text for result in alone]
        np.testing.assert_allclose([r.confidence for r in together], [r.confidence for r in alone], rtol=1e-4)


def test_batches_hold_images_of_similar_width(kept_checkpoint: Path) -> None:
    engine = Engine.load(kept_checkpoint, device="cpu")
    prepared = [engine.prepare(picture) for picture in PICTURES]
    batches = engine.batches(prepared, batch_size=2)  # 2 x 128 columns
    assert sorted(row for rows, _, _ in batches for row in rows) == list(range(12))
    assert all(batch.shape[0] * batch.shape[2] <= 256 for _, batch, _ in batches)
    for rows, _, widths in batches:
        assert widths is not None and [prepared[row].shape[1] for row in rows] == widths.tolist()


def test_both_backends_read_the_same(kept_checkpoint: Path, bundle: Path) -> None:
    ours, theirs = Engine.load(kept_checkpoint, device="cpu"), Engine.load(bundle, device="cpu")
    assert theirs.card == ours.card and theirs.backend == "onnx"
    for batch in (PICTURES, PICTURES[3:4], PICTURES[:1]):
        assert [r.text for r in ours.recognize(batch)] == [r.text for r in theirs.recognize(batch)]
    prepared = [ours.prepare(picture) for picture in PICTURES]
    for _, images, widths in ours.batches(prepared):
        np.testing.assert_allclose(ours.logits(images, widths), theirs.logits(images, widths), atol=1e-4)


def test_the_graph_has_free_batch_and_width(bundle: Path) -> None:
    graph = onnx.load(bundle).graph
    shapes = {one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in graph.input}
    assert shapes == {"images": ["batch", 1, 32, "4*columns"], "widths": ["batch"]}


def test_the_program_of_the_documentation(
    kept_checkpoint: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "export.md").read_text("utf-8")
    program = page.split("```python\n")[1].split("```")[0].replace("exported/last.onnx", str(bundle))
    engine = Engine.load(kept_checkpoint, device="cpu")
    for picture in PICTURES:
        cv2.imwrite(str(tmp_path / "word.png"), picture[..., ::-1])
        exec(program.replace("word.png", str(tmp_path / "word.png")), {})
        assert capsys.readouterr().out.removesuffix("\n") == engine.recognize([picture])[0].text


def test_logits_require_widths_that_fit(kept_checkpoint: Path) -> None:
    engine = Engine.load(kept_checkpoint, device="cpu")
    images = np.zeros((2, 32, 64, 1), np.uint8)
    for widths in (None, np.array([64]), np.array([64, 65]), np.array([3])):
        with pytest.raises(ValueError, match="expected a prepared uint8 batch"):
            engine.logits(images, widths)
    with pytest.raises(ValueError, match="expected a prepared uint8 batch"):
        engine.logits(images[:, :, :63], np.array([3, 4]))
    assert engine.logits(images, np.array([3, 64])).shape[:2] == (2, 16)


def test_extreme_images_through_predict(
    kept_checkpoint: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    for name, size in {"thin": (40, 1), "long": (12, 20_000), "dot": (1, 1), "tall": (3000, 2)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    answers = []
    for model in (kept_checkpoint, bundle):
        assert run(["predict", str(tmp_path), "-m", str(model), "--format", "jsonl"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        answers.append({Path(row["path"]).stem: row["text"] for row in rows})
    assert answers[0] == answers[1] and sorted(answers[0]) == ["dot", "long", "tall", "thin"]
    assert len(answers[0]["thin"]) <= 2 and len(answers[0]["long"]) <= 64  # 8 columns are 2 steps, 256 are 64


def test_eval_compares_models_of_both_kinds(
    kept_checkpoint: Path, tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", str(kept_checkpoint), str(tiny_checkpoint), "-d", str(word_folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in found["models"]] == [str(kept_checkpoint), str(tiny_checkpoint)]


def test_model_info_shows_the_widths(kept_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "info", str(kept_checkpoint)]) == 0
    assert "input: 32 pixels high, 8 to 256 wide, aspect ratio kept, 1 channel," in capsys.readouterr().out


def test_a_graph_whose_card_says_otherwise_is_refused(bundle: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    for source, other in ((bundle, tiny_onnx), (tiny_onnx, bundle)):
        proto, card = onnx.load(source), onnx.load(other).metadata_props[0].value
        onnx.helper.set_model_props(proto, {CARD_KEY: card})
        onnx.save(proto, tmp_path / "mixed.onnx")
        with pytest.raises(InputError, match="the graph should have the inputs"):
            Engine.load(tmp_path / "mixed.onnx", device="cpu")
    proto = onnx.load(bundle)
    card = ModelCard.from_json(proto.metadata_props[0].value)
    assert card.kept is not None
    changed = replace(card, width=300, kept=replace(card.kept, max_width=300))
    onnx.helper.set_model_props(proto, {CARD_KEY: changed.to_json()})
    onnx.save(proto, tmp_path / "wider.onnx")  # the graph takes any width: what the card says goes
    assert Engine.load(tmp_path / "wider.onnx", device="cpu").prepare(np.zeros((32, 999, 3), np.uint8)).shape[1] == 300
