"""Greedy decoding, beam search, lexicons and n-gram models through the engine and the commands; characters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.core.model.cut import cut_charset
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.locate import ModelFile
from ocrctl.models.build import build_model
from ocrctl.models.parseq.model import SIZES
from ocrctl.text.charset import LOWER36

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (20 + 7 * i, 60 + 31 * i, 3), dtype=np.uint8) for i in range(7)]
EXTREMES = [
    RNG.integers(0, 256, size, dtype=np.uint8)
    for size in ((32, 1, 3), (1, 40, 3), (32, 4000, 3), (400, 20, 3))  # the last: a column of vertical text
]


@pytest.fixture(scope="module")
def autoregressive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """best.ckpt of an untrained parseq-tiny of one block that says different things of different images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "parseq-tiny", replace(SIZES["parseq-tiny"], blocks=1))
        card = ModelCard("parseq-tiny", "recognition", "abcdefgh", 32, 128, 3, 6, model={"refine": 1})
        torch.manual_seed(1)
        model = build_model(card)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim > 1:
                    weight.mul_(1.5 if name.startswith("encoder.blocks") else 6)
        path = tmp_path_factory.mktemp("runs") / "parseq" / "best.ckpt"
        path.parent.mkdir()
        state = {f"model.{name}": value for name, value in model.state_dict().items()}
        torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)
        yield path


def lines(path: Path, *words: str) -> Path:
    path.write_text("".join(f"{word}\n" for word in words), "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, (None, 0, 1.0)),
        ("greedy", (None, 0, 1.0)),
        ("nar", ("nar", 0, 1.0)),
        ("beam", (None, 5, 1.0)),
        ("beam:12", (None, 12, 1.0)),
        ("beam:3:0.5", (None, 3, 0.5)),
    ],
)
def test_decodings(text: str | None, wanted: tuple[str | None, int, float]) -> None:
    found = Decoding.parse(text)
    assert (found.mode, found.beam, found.power) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("beam:0",), "decoding 'beam:0': expected beam:WIDTH or beam:WIDTH:POWER, a width of 1 to 100 texts"),
        (("beam:101",), "a width of 1 to 100 texts"),
        (("beam:x",), "a width of 1 to 100 texts"),
        (("beam:5:1:1",), "expected beam:WIDTH or beam:WIDTH:POWER"),
        (("beam:5:nan",), "expected a power of the length from 0 to 2, found nan"),
        (("greedy", "words.txt"), "decoding 'greedy' cannot be combined with a lexicon"),
        (("nar", None, ["english"]), "decoding 'nar' cannot be combined with an n-gram model"),
        ((None, None, ["none", "english"]), "an n-gram model 'none' cannot be combined with texts or a weight"),
        ((None, None, ["none"], 0.5), "an n-gram model 'none' cannot be combined with texts or a weight"),
        ((None, None, "texts.txt", -1.0), "the weight of the n-gram model should be 0 to 10, found -1"),
    ],
)
def test_decodings_that_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Decoding.parse(*arguments)  # type: ignore[arg-type]


def test_both_backends_search_alike(tiny_checkpoint: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    words = lines(tmp_path / "words.txt", "abc", "hello", "x", "00")
    for decoding in (Decoding.parse("beam:4"), Decoding.parse(None, words), Decoding.parse("beam:8", None, words, 0.5)):
        ours, theirs = (Engine.load(model, "cpu", decoding=decoding) for model in (tiny_checkpoint, tiny_onnx))
        assert [one.text for one in ours.recognize(PICTURES)] == [one.text for one in theirs.recognize(PICTURES)]


def test_the_confidence_of_a_search_is_that_of_greedy_decoding_for_the_same_text(tiny_checkpoint: Path) -> None:
    logits = RNG.normal(0, 4, (40, 25, 37)).astype(np.float32)
    found = [Engine.load(tiny_checkpoint, "cpu", decoding=name).decode(logits) for name in ("greedy", "beam:10")]
    same = [(one, other) for one, other in zip(*found, strict=True) if one.text == other.text]
    assert 5 < len(same) < 40
    for one, other in same:
        assert other.confidence == pytest.approx(one.confidence, rel=1e-4)


def test_results_do_not_depend_on_the_batch(tiny_checkpoint: Path, kept_checkpoint: Path, autoregressive: Path) -> None:
    """Batched and single; with padding, where the aspect ratio is kept."""
    for model in (tiny_checkpoint, kept_checkpoint, autoregressive):
        engine = Engine.load(model, "cpu", decoding="beam:3")
        alone = [engine.recognize([picture])[0] for picture in PICTURES]
        assert len({one.text for one in alone}) > 2
        for size in (2, 64):
            together = engine.recognize(PICTURES, batch_size=size)
            assert [one.text for one in together] == [one.text for one in alone]
            np.testing.assert_allclose([o.confidence for o in together], [o.confidence for o in alone], rtol=1e-3)


def test_a_lexicon_admits_its_words_only(tiny_checkpoint: Path, autoregressive: Path, tmp_path: Path) -> None:
    for model, known in ((tiny_checkpoint, ["abc", "a", "zz9"]), (autoregressive, ["abc", "a", "hhh", "fed"])):
        words = lines(tmp_path / "words.txt", *known, "\u00fc", "a" * 30)
        for beam in ("beam:1", "beam:3"):
            engine = Engine.load(model, "cpu", decoding=Decoding.parse(beam, words))
            found = engine.recognize([*PICTURES, *EXTREMES])
            assert {one.text for one in found} <= set(known) and all(0 < one.confidence <= 1 for one in found)
        assert "with characters outside the charset (\u00fc)" in engine.note and "characters" in engine.note


def test_a_lexicon_without_a_word_of_the_charset_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    words = lines(tmp_path / "words.txt", "\u00fc", "\u00e4")
    with pytest.raises(InputError, match=rf"^{words}: expected words that the model can read: of 2"):
        Engine.load(tiny_checkpoint, "cpu", decoding=Decoding.parse(None, words))


def test_a_lexicon_that_has_changed_is_read_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    words = lines(tmp_path / "words.txt", "abc")
    decoding = Decoding.parse(None, words)
    first = Engine.load(tiny_checkpoint, "cpu", decoding=decoding)
    assert Engine.load(tiny_checkpoint, "cpu", decoding=decoding) is first
    assert {one.text for one in first.recognize(PICTURES)} == {"abc"}
    lines(words, "xy")
    assert {one.text for one in Engine.load(tiny_checkpoint, "cpu", decoding=decoding).recognize(PICTURES)} == {"xy"}


def test_an_ngram_model_decides_between_candidates(autoregressive: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    for model in (autoregressive, tiny_checkpoint):
        plain = Engine.load(model, "cpu", decoding="beam:5")
        before = [one.text for one in plain.recognize(PICTURES)]
        texts = lines(tmp_path / "texts.txt", *["ab"] * 40, *[*plain.card.charset] * 10)
        unchanged = Engine.load(model, "cpu", decoding=Decoding.parse(None, None, texts, 0.0))
        assert [one.text for one in unchanged.recognize(PICTURES)] == before
        changed = Engine.load(model, "cpu", decoding=Decoding.parse(None, None, texts, 10.0))
        assert [one.text for one in changed.recognize(PICTURES)] != before


def test_an_ngram_model_leaves_unknown_characters_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A model of words without digits neither puts letters in their place nor leaves them out."""
    charset = Engine.load(tiny_checkpoint, "cpu").card.charset
    logits = np.full((1, 25, 1 + len(charset)), -9.0, np.float32)
    logits[0, :, 0] = 0.0
    for step, chars in ((2, "c"), (6, "a"), (10, "0o")):  # 0 and o are nearly as probable
        logits[0, step, 0] = -9.0
        for place, char in enumerate(chars):
            logits[0, step, 1 + charset.index(char)] = 5.0 - 0.1 * place
    words = lines(tmp_path / "words.txt", *["cao"] * 20)
    found = {}
    for name, texts in (
        ("none", None),
        ("words", words),
        ("both", [str(words), str(lines(tmp_path / "ids.txt", "xx0"))]),
    ):
        engine = Engine.load(tiny_checkpoint, "cpu", decoding=Decoding.parse("beam:5", None, texts))
        found[name] = engine.decode(logits)[0].text
    assert found == {"none": "ca0", "words": "ca0", "both": "cao"}
    with pytest.raises(UsageError, match="a weight of an n-gram model requires one"):
        Engine.load(tiny_checkpoint, "cpu", decoding=Decoding.parse(None, None, None, 0.5))


@pytest.mark.parametrize("decoding", [None, "beam:3"])
def test_extreme_images_have_defined_results(
    tiny_checkpoint: Path, kept_checkpoint: Path, autoregressive: Path, decoding: str | None
) -> None:
    for model in (tiny_checkpoint, kept_checkpoint, autoregressive):
        engine = Engine.load(model, "cpu", decoding=decoding)
        for characters in (False, True):
            for one in engine.recognize(EXTREMES, characters=characters):
                assert set(one.text) <= set(engine.card.charset) and 0 <= one.confidence <= 1
                assert one.characters is None or "".join(char.text for char in one.characters) == one.text


@pytest.mark.parametrize("decoding", [None, "beam:3"])
def test_a_model_that_reads_nothing_gives_empty_texts(mute_checkpoint: Path, decoding: str | None) -> None:
    for one in Engine.load(mute_checkpoint, "cpu", decoding=decoding).recognize(PICTURES, characters=True):
        assert (one.text, one.confidence, one.characters) == ("", 0.0, ())


def test_nan_is_an_error_of_the_search_too(autoregressive: Path, tiny_checkpoint: Path) -> None:
    for model, message in ((autoregressive, "the model's logits hold NaN for 2 images"), (tiny_checkpoint, "NaN")):
        engine = Engine.load(model, "cpu", decoding="beam:2")
        parameters = engine._backend.model.named_parameters()  # type: ignore[attr-defined]
        bias = next(value for name, value in parameters if name.startswith("head") and value.ndim == 1)
        before = bias.detach().clone()
        try:
            with torch.no_grad():
                bias[1] = torch.nan
            with pytest.raises(InputError, match=message):
                engine.recognize(PICTURES[:2])
        finally:
            with torch.no_grad():
                bias.copy_(before)


def test_characters_of_ctc_lie_where_they_are_drawn(kept_checkpoint: Path, tiny_checkpoint: Path) -> None:
    for model in (tiny_checkpoint, kept_checkpoint):
        for decoding in ("greedy", "beam:4"):
            engine = Engine.load(model, "cpu", decoding=decoding)
            plain, found = engine.recognize(PICTURES), engine.recognize(PICTURES, characters=True)
            assert [one.text for one in plain] == [one.text for one in found]
            for one, other in zip(plain, found, strict=True):
                assert other.confidence == pytest.approx(one.confidence, rel=1e-4)
                assert other.characters is not None
                places = [character.x for character in other.characters]
                assert places == sorted(places) and all(0 < x <= 1 for x in places)
                if other.characters:
                    mean = np.exp(np.mean(np.log([character.confidence for character in other.characters])))
                    assert other.confidence == pytest.approx(float(mean), rel=1e-4)


def test_steps_of_ctc_lie_in_the_middle_of_their_columns(kept_checkpoint: Path) -> None:
    """A character at step t of a model with a step for 4 columns: x is 4 t + 2 of the columns of its image."""
    engine = Engine.load(kept_checkpoint, "cpu")
    logits = np.zeros((2, 10, 37), np.float32)
    logits[:, :, 0] = 9.0
    logits[:, [2, 3, 7], [5, 5, 8]] = 20.0
    assert engine._decoder is not None
    for one, width in zip(engine._decoder.decode(logits, np.array([40, 32]), characters=True), (40, 32), strict=True):
        assert one.text == LOWER36[4] + LOWER36[7]
        assert one.characters is not None
        assert [round(char.x * width, 3) for char in one.characters] == [12.0, 30.0]


@pytest.mark.parametrize("decoding", ["ar", "beam:3"])
def test_characters_of_attention_lie_at_its_centre(autoregressive: Path, decoding: str) -> None:
    engine = Engine.load(autoregressive, "cpu", decoding=decoding)
    plain, found = engine.recognize(PICTURES), engine.recognize(PICTURES, characters=True)
    assert [one.text for one in plain] == [one.text for one in found]
    model = engine._backend.model  # type: ignore[attr-defined]
    batch = np.stack([engine.prepare(picture) for picture in PICTURES])
    ids = np.zeros((len(found), 7), np.int64)
    for row, one in zip(ids, found, strict=True):
        row[: len(one.text)] = [engine.card.charset.index(char) + 1 for char in one.text]
    assert decoding != "ar" or max(len(one.text) for one in found) >= 6  # also of the maximum length
    with torch.inference_mode():
        weights = model.attention(torch.from_numpy(batch).permute(0, 3, 1, 2), torch.from_numpy(ids)).numpy()
    np.testing.assert_allclose(weights.sum((2, 3)), 1.0, rtol=1e-4)
    assert weights.shape == (len(found), 7, 8, 16)
    for one, own in zip(found, weights, strict=True):
        assert one.characters is not None and len(one.characters) == len(one.text)
        for char, cells in zip(one.characters, own, strict=False):
            assert char.x == pytest.approx(float((cells.sum(0) * (np.arange(16) + 0.5)).sum() / 16), abs=1e-4)
            assert char.y == pytest.approx(float((cells.sum(1) * (np.arange(8) + 0.5)).sum() / 8), abs=1e-4)


def test_the_graph_of_an_autoregressive_model_is_not_searched(autoregressive: Path) -> None:
    class Graph:  # as inference.onnx_backend.OnnxBackend, which exports of an autoregressive model run on
        name, device, note = "onnx", "cpu", ""
        card = Engine.load(autoregressive, "cpu").card

        def outputs(self, batch: np.ndarray, widths: np.ndarray | None = None) -> dict[str, np.ndarray]:
            logits = np.zeros((len(batch), 7, 9), np.float32)
            logits[:, 0, 3] = logits[:, 1:, 0] = 5.0
            return {"logits": logits}

    file = ModelFile(Path("words.onnx"), "onnx", "words")
    with pytest.raises(UsageError, match="words.onnx: its graph reads greedily; .* require the checkpoint"):
        Engine(file, Graph(), Decoding.parse("beam:2"))
    (found,) = Engine(file, Graph()).recognize(PICTURES[:1], characters=True)
    assert found.text == "c" and found.characters is not None
    assert found.characters[0].confidence > 0.9 and np.isnan(found.characters[0].x)


def test_a_plug_in_without_a_search_is_refused() -> None:
    from ocrctl.models.ocr_model import OCRModel

    plain = OCRModel(torch.nn.Identity(), torch.nn.Identity(), torch.nn.Identity(), mean=0.5, std=0.5)
    with pytest.raises(UsageError, match="a model with a Identity does not support beam search"):
        plain.generate_beam(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 2)


def test_a_detector_has_no_beam(tiny_detector: Path) -> None:
    with pytest.raises(UsageError, match="is a detector; beam search requires a recogniser"):
        Engine.load(tiny_detector, "cpu", decoding="beam")


def test_predict_and_eval_take_the_options(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = lines(tmp_path / "words.txt", "abc", "hello", "\u00fc")
    options = ["--decoding", "beam:3", "--lexicon", str(words)]
    assert run(["predict", str(word_folder), "-m", str(tiny_checkpoint), *options, "--json", "--characters"]) == 0
    out, err = capsys.readouterr()
    assert f"note: {words}: of 3 words the model cannot read 1 with characters outside the charset" in err
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 12 and {row["text"] for row in rows} <= {"abc", "hello"}
    for row in rows:
        width, height = cv2.imread(row["path"]).shape[1::-1]
        assert [one["text"] for one in row["characters"]] == list(row["text"])
        assert all(0 < one["x"] <= width and one["y"] == height / 2 for one in row["characters"])
    assert run(["eval", str(tiny_checkpoint), "-d", str(word_folder), *options, "-q"]) == 0
    assert run(["eval", str(tiny_checkpoint), "-d", str(word_folder), "--decoding", "beam:0"]) == 2
    assert "a width of 1 to 100 texts" in capsys.readouterr().err


def test_characters_need_a_format_that_holds_them(
    tiny_checkpoint: Path, tiny_detector: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(word_folder), "--characters", "-q"]
    assert run([*arguments, "-m", str(tiny_checkpoint), "--format", "tsv"]) == 2
    assert "--characters requires --format jsonl, not tsv" in capsys.readouterr().err
    assert run([*arguments, "-m", str(tiny_detector)]) == 2
    assert "--characters requires a recogniser" in capsys.readouterr().err
    assert run([*arguments, "-m", str(tiny_checkpoint)]) == 0
    assert all("characters" in json.loads(line) for line in capsys.readouterr().out.splitlines())


def test_an_allowlist_reads_as_a_model_without_the_other_characters(
    tiny_checkpoint: Path, kept_checkpoint: Path, autoregressive: Path, tmp_path: Path
) -> None:
    """Texts and confidences of the cut model, for greedy decoding and the beam search, CTC and autoregressive."""
    for model, chars in ((tiny_checkpoint, "0123456789"), (kept_checkpoint, "abc"), (autoregressive, "acg")):
        charset = lines(tmp_path / "allowlist.txt", chars)
        cut_charset(str(model), str(charset), tmp_path / f"{chars}.ckpt")
        for decoding in ("greedy", "beam:3"):
            engine = Engine.load(model, "cpu", decoding=Decoding.parse(decoding, allowlist=charset))
            cut = Engine.load(tmp_path / f"{chars}.ckpt", "cpu", decoding=decoding)
            found, wanted = (one.recognize(PICTURES) for one in (engine, cut))
            assert [one.text for one in found] == [one.text for one in wanted]
            np.testing.assert_allclose([o.confidence for o in found], [o.confidence for o in wanted], rtol=1e-4)
            assert {char for one in found for char in one.text} <= set(chars)
        assert f"reads {len(chars)} of its" in engine.note
    assert len({one.text for one in found}) > 2


def test_an_allowlist_applies_to_an_onnx_file(tiny_checkpoint: Path, tiny_onnx: Path) -> None:
    decoding = Decoding.parse(None, allowlist="digits")
    ours, theirs = (
        Engine.load(model, "cpu", decoding=decoding).recognize(PICTURES, characters=True)
        for model in (tiny_checkpoint, tiny_onnx)
    )
    assert [one.text for one in ours] == [one.text for one in theirs]
    assert all(one.text == "".join(char.text for char in one.characters or ()) for one in ours)
    assert any(one.text for one in ours)


def test_an_allowlist_with_characters_that_the_model_lacks(tiny_checkpoint: Path, tmp_path: Path) -> None:
    some, none = lines(tmp_path / "some.txt", "ab\u00fc"), lines(tmp_path / "none.txt", "\u00fc\u00e4")
    engine = Engine.load(tiny_checkpoint, "cpu", decoding=Decoding.parse(None, allowlist=some))
    assert "reads 2 of its 36 characters; it cannot read 1 character of the allowlist (\u00fc)" in engine.note
    with pytest.raises(InputError, match=r"best.ckpt: the model can read none of the characters of the allowlist"):
        Engine.load(tiny_checkpoint, "cpu", decoding=Decoding.parse(None, allowlist=none))


def test_an_allowlist_is_refused_beside_a_lexicon_and_for_a_detector(tiny_detector: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an allowlist cannot be combined with a lexicon"):
        Decoding.parse(None, lines(tmp_path / "words.txt", "abc"), allowlist="digits")
    with pytest.raises(UsageError, match="is a detector; an allowlist requires a recogniser"):
        Engine.load(tiny_detector, "cpu", decoding=Decoding.parse(None, allowlist="digits"))


def test_predict_and_eval_take_an_allowlist(
    tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--allowlist", "digits"]
    assert run(["predict", str(word_folder), "-m", str(tiny_checkpoint), *options, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "reads 10 of its 36 characters" in err
    assert all(set(json.loads(line)["text"]) <= set("0123456789") for line in out.splitlines())
    assert run(["eval", str(tiny_checkpoint), "-d", str(word_folder), *options, "-q"]) == 0
    assert run(["eval", str(tiny_checkpoint), "-d", str(word_folder), "--allowlist", "digitz"]) == 2
    assert "neither a file nor a built-in. Did you mean 'digits'?" in capsys.readouterr().err
