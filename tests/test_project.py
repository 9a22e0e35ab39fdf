"""Licence, notices, metadata, changelog, hooks and workflows are complete and agree with each other."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml  # comes with lightning
from packaging.requirements import Requirement

from ocrctl import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = {one.name: one for one in map(Requirement, PROJECT["dependencies"])}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_licence_and_notice_are_shipped() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE", "NOTICE"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert (ROOT / "ocrctl" / "py.typed").is_file()


def test_notice_names_every_package_of_fonts_and_words() -> None:
    (source,) = (ROOT / "ocrctl" / "data" / "synth").rglob("fonts.py")
    fonts = import_module(".".join(source.relative_to(ROOT).with_suffix("").parts))
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    packages = {name.replace("_", "-") for name in fonts.BUNDLED} | {"wordfreq"}
    assert packages <= REQUIREMENTS.keys(), "a package whose files are read is a dependency of ours"
    assert [name for name in sorted(packages) if not re.search(rf"^{name}\b", notice, re.MULTILINE)] == []


@pytest.mark.parametrize(("version", "allowed"), [("2.6.1", True), ("2.6.2", False), ("2.6.3", False), ("2.6.4", True)])
def test_lightning_releases_with_malware_are_excluded(version: str, allowed: bool) -> None:
    assert REQUIREMENTS["lightning"].specifier.contains(version) == allowed


def test_changelog_has_this_version_and_what_comes_next() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert __version__ in headings


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_read_only_and_bounded(path: Path) -> None:
    """Each may only read the repository unless a job says more, and each job has a time limit."""
    flow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert flow["permissions"] == {"contents": "read"}
    assert [name for name, job in flow["jobs"].items() if not job.keys() & {"timeout-minutes", "uses"}] == []
    for script in re.findall(r"(?:^|\s)(\.ci/[\w.]+)", path.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file()


def test_every_supported_python_and_system_is_tested() -> None:
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    matrix = flow["jobs"]["tests"]["strategy"]["matrix"]
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    assert matrix["python"] == named
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}


def test_hooks_are_those_of_ci() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = {hook["id"]: hook["entry"] for repository in config["repos"] for hook in repository["hooks"]}
    assert hooks.keys() >= {"ruff-check", "ruff-format", "codespell", "no-backups"}
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [entry for entry in hooks.values() if entry.partition(" --")[0] not in run] == []


@pytest.mark.parametrize(
    ("tag", "content", "told"),
    [
        ("v1.2.3", "weights", []),
        ("1.2.3", "weights", ["ocrctl/__init__.py"]),
        ("v1.2.4", "weights", ["ocrctl/__init__.py", "CHANGELOG.md"]),
        ("v1.2.3", "other", ["ocrctl/weights/a.onnx"]),
    ],
)
def test_a_release_agrees_with_its_tag_and_weights(tmp_path: Path, tag: str, content: str, told: list[str]) -> None:
    weights = hashlib.sha256(b"weights").hexdigest()
    for name, text in {
        "ocrctl/weights/manifest.toml": f'[a]\nfile = "a.onnx"\nsha256 = "{weights}"\n[b]\nfile = "b"\npackage = "b"\n',
        "ocrctl/weights/a.onnx": content,
        ".ci/release_check.py": (ROOT / ".ci" / "release_check.py").read_text(encoding="utf-8"),
        "ocrctl/__init__.py": '__version__ = "1.2.3"\n',
        "CHANGELOG.md": "## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, tmp_path / ".ci" / "release_check.py", tag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == told
    assert done.returncode == (1 if told else 0)
