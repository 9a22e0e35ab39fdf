"""`ocrctl model import`: published weights become a checkpoint; what does not fit is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import ModelCard
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.text.charset import LOWER36

ARCH = "parseq-tiny"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict as it is published: 36 characters, a prefix."""
    torch.manual_seed(3)
    card = ModelCard(ARCH, "recognition", LOWER36, 32, 128, 3, 25)
    path = tmp_path_factory.mktemp("published") / "words.pt"
    torch.save({f"model.{name}": value for name, value in build_model(card).state_dict().items()}, path)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    capsys.readouterr()
    assert run(["model", "import", *arguments]) == code
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and "Traceback" not in error
    return error


def test_the_checkpoint_reads_as_the_file_does(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "words.ckpt"
    assert run(["model", "import", str(words), "--as", ARCH, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: published weights of {ARCH}") and "36 characters" in said.out
    assert f"next: ocrctl predict WORD_IMAGES -m {out}" in said.err
    card, _ = load_checkpoint(out)
    assert (card.arch, card.charset, card.max_label_length) == (ARCH, LOWER36, 25)
    source = torch.load(out, weights_only=True)["source"]
    assert source["file"] == "words.pt" and len(source["sha256"]) == 64
    assert [path.name for path in out.parent.iterdir()] == ["words.ckpt"]
    images = [np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8)]
    one, two = (Engine.load(path, device="cpu") for path in (words, out))
    np.testing.assert_array_equal(*(engine.logits(np.stack([engine.prepare(images[0])])) for engine in (one, two)))


def test_colours_are_read_as_the_publisher_does(words: Path, tmp_path: Path) -> None:
    raw = torch.load(words, weights_only=True)
    raw["model.encoder.patch_embed.proj.weight"][:, 1:] = 0  # sees red alone: the release reads RGB
    torch.save(raw, tmp_path / "red.pt")
    engine = Engine.load(tmp_path / "red.pt", device="cpu")
    plain = np.full((32, 128, 3), 128, np.uint8)
    logits = [engine.logits(plain[None])]
    for channel in (0, 2):
        image = plain.copy()
        image[8:24, 20:100, channel] = 255
        logits.append(engine.logits(image[None]))
    assert np.abs(logits[1] - logits[0]).max() > 1e-3  # red in RGB; the first channel would be blue in BGR
    np.testing.assert_array_equal(logits[2], logits[0])


def test_a_charset_file_replaces_the_known_order(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chars.txt").write_text(LOWER36[::-1] + "\n")
    out = tmp_path / "words.ckpt"
    given = ["--as", ARCH, "--charset", str(tmp_path / "chars.txt"), "-o", str(out), "--json"]
    assert run(["model", "import", str(words), *given]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["charset"] == LOWER36[::-1]
    assert load_checkpoint(out)[0].charset == LOWER36[::-1]


def test_a_charset_longer_or_shorter_than_the_head_is_refused(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--as", ARCH, "-o", str(tmp_path / "words.ckpt")]
    for chars, count in ((LOWER36 + "é", 37), (LOWER36[:-1], 35)):
        (tmp_path / "chars.txt").write_text(chars + "\n", encoding="utf-8")
        said = refused(capsys, str(words), *out, "--charset", str(tmp_path / "chars.txt"), code=3)
        assert f"its head has 37 classes, which is 36 characters; the charset has {count}" in said
    (tmp_path / "chars.txt").write_text("\n".join(LOWER36[:-1] + "Å" + "\u212b") + "\n", encoding="utf-8")
    said = refused(capsys, str(words), *out, "--charset", str(tmp_path / "chars.txt"), code=2)
    assert "1 repeated character removed" in said and "is not that of the model's classes" in said
    assert "is neither a file nor a built-in" in refused(capsys, str(words), *out, "--charset", "lower37", code=2)
    assert not (tmp_path / "words.ckpt").exists()


def test_wrong_names_files_and_paths_are_refused(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path
) -> None:
    out = str(tmp_path / "words.ckpt")
    assert "Did you mean 'parseq" in refused(capsys, str(words), "--as", "parsec", "-o", out, code=2)
    assert f"hint: --as {ARCH}" in refused(capsys, str(words), "--as", "parseq", "-o", out, code=2)
    assert "no published weights are known" in refused(capsys, str(words), "--as", "dbnet", "-o", out, code=2)
    assert "exists already" in refused(capsys, str(words), "--as", ARCH, "-o", str(words), code=2)
    assert "writes a checkpoint" in refused(capsys, str(words), "--as", ARCH, "-o", str(tmp_path / "a.onnx"), code=2)
    assert "needs no import" in refused(capsys, str(tiny_checkpoint), "--as", ARCH, "-o", out, code=2)
    assert "no such file" in refused(capsys, str(tmp_path / "none.pt"), "--as", ARCH, "-o", out, code=3)
    graph = helper.make_graph([], "g", [], [], [numpy_helper.from_array(np.zeros(3, np.float32), "conv_0.w")])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    said = refused(capsys, str(tmp_path / "other.onnx"), "--as", ARCH, "-o", out, code=3)
    assert "not a published model that ocrctl knows (its tensors are conv_0.w, ...; 1 in all)" in said
    (tmp_path / "cut.pt").write_bytes(words.read_bytes()[:100_000])
    assert "a PyTorch file that is cut off or damaged" in refused(
        capsys, str(tmp_path / "cut.pt"), "--as", ARCH, "-o", out, code=3
    )


def test_changed_tensors_are_refused_by_name(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = torch.load(words, weights_only=True)
    path, out = tmp_path / "w.pt", str(tmp_path / "words.ckpt")

    def said(**changed: torch.Tensor | None) -> str:
        torch.save({k: v for k, v in {**raw, **changed}.items() if v is not None}, path)
        return refused(capsys, str(path), "--as", ARCH, "-o", out, code=3)

    assert f"holds tensors that {ARCH} does not have (adapter.weight)" in said(
        **{"model.adapter.weight": torch.ones(1)}
    )
    assert f"lacks tensors that {ARCH} needs (encoder.norm.bias)" in said(**{"model.encoder.norm.bias": None})
    wide = {"model.encoder.norm.bias": torch.zeros(7)}
    assert f"encoder.norm.bias has the shape (7,), {ARCH} needs (192,)" in said(**wide)
    wrong = raw["model.encoder.norm.bias"].clone()
    wrong[0] = float("nan")
    assert "1 of" in (text := said(**{"model.encoder.norm.bias": wrong})) and "NaN or infinite" in text


def test_a_published_file_is_used_directly(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "info", str(words)]) == 0
    assert f"{ARCH} (recognition)" in capsys.readouterr().out
    assert run(["model", "set", str(words), "threshold=1"]) == 3
    assert "model import" in capsys.readouterr().err
    raw = torch.load(words, weights_only=True)
    for name in ("head.weight", "head.bias", "text_embed.embedding.weight"):  # 30 characters: of no release
        raw[f"model.{name}"] = raw[f"model.{name}"][:-6].clone()
    torch.save(raw, tmp_path / "odd.pt")
    assert run(["model", "info", str(tmp_path / "odd.pt")]) == 3
    error = capsys.readouterr().err
    assert "but not its charset" in error and f"ocrctl model import {tmp_path / 'odd.pt'} --as {ARCH}" in error
