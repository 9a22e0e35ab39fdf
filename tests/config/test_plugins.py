"""Entry points of installed packages are found where Python finds them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ocrctl.config.plugins import installed

TEXT = "[console_scripts]\nx = y:z\n\n[ocrctl.tests]\nname = module:thing\n"


def names() -> list[str]:
    return [point.name for point in installed("ocrctl.tests")]


@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_a_package_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    assert names() == []
    package = tmp_path / f"some_package-1.0.{kind}"
    package.mkdir()
    (package / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text("Metadata-Version: 2.1\nName: a\n")
    (package / "entry_points.txt").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    assert names() == ["name"]
    assert [point.name for point in installed("ocrctl.other")] == []


def test_a_package_in_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with zipfile.ZipFile(tmp_path / "packages.zip", "w") as archive:
        archive.writestr("some_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-package\n")
        archive.writestr("some_package-1.0.dist-info/entry_points.txt", TEXT)
    monkeypatch.syspath_prepend(tmp_path / "packages.zip")
    assert names() == ["name"]


def test_without_a_plug_in_nothing_is_searched_with_importlib(tmp_path: Path):
    code = (
        "import sys; sys.path.append('missing/folder'); from ocrctl.config.plugins import installed; "
        "print(installed('ocrctl.tests'), 'importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[] False\n"
