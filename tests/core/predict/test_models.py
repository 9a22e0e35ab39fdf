"""Which models `predict` takes, and which of them is asked to read in another way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ocrctl.core.predict import models as predict_models
from ocrctl.core.predict.models import load_models
from ocrctl.errors import UsageError


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Engines that are detectors when their name says so; what was loaded, with its decoding."""
    calls: list[tuple[str, str | None]] = []

    def load(
        model: str, device: str, threads: int | None, decoding: str | None = None, *, explain: bool = False
    ) -> SimpleNamespace:
        calls.append((model, "explain" if explain else decoding))
        task = "detection" if "det" in model else "recognition"
        return SimpleNamespace(
            detects="det" in model, path=Path(model), card=SimpleNamespace(task=task), backend="onnx" if "x" in model
            else "torch", device="cpu", note="",
        )  # fmt: skip

    monkeypatch.setattr(predict_models.Engine, "load", load)
    return calls


@pytest.mark.parametrize("models", [["det", "words"], ["words", "det"]])
def test_either_order_and_the_decoding_is_the_recognisers(loaded: list, models: list[str]) -> None:
    both = load_models(models, "cpu", None, "nar")
    assert both.detector is both.first and both.detector.path == Path("det") and both.recogniser.path == Path("words")
    assert ("det", "nar") not in loaded and ("words", "nar") in loaded
    loaded.clear()
    load_models(models, "cpu", None, None)
    assert loaded == [(model, None) for model in models]


@pytest.mark.parametrize("models", [["det", "words"], ["words", "det"], ["words"]])
def test_the_recogniser_is_explained(loaded: list, models: list[str]) -> None:
    load_models(models, "cpu", None, None, explain=True)
    assert [call for call in loaded if call[1]] == [("words", "explain")]


def test_one_model_is_loaded_once(loaded: list) -> None:
    alone = load_models(["words"], "cpu", None, "ar")
    assert alone.detector is None and alone.first is alone.recogniser and loaded == [("words", "ar")]
    assert load_models(["det"], "cpu", None, None).recogniser is None


def test_what_runs_them_is_said_once(loaded: list) -> None:
    assert load_models(["det", "words"], "cpu", None, None).of_each("backend") == "torch"
    assert load_models(["words.x", "det"], "cpu", None, None).of_each("backend") == "torch, onnx"
    assert load_models(["words.x", "det"], "cpu", None, None).of_each("note") == ""


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["det", "words", "words"], "-m was given 3 times"),
        (["det", "det2"], "det and det2: each finds text on pages"),
        (["words", "words"], "words and words: each reads words"),
    ],
)
def test_other_numbers_of_models_are_refused(loaded: list, models: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_models(models, "cpu", None, None)
    assert caught.value.hint
    assert len(loaded) == (0 if len(models) == 3 else 2)
