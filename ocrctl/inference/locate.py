"""Resolve a MODEL argument: a checkpoint, an ONNX file, an export bundle, a run folder, `default:NAME`, or
`paddle:FILE`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ocrctl.config.model_card import CARD_KEY
from ocrctl.config.suggest import did_you_mean, near_path
from ocrctl.errors import InputError, UsageError
from ocrctl.files.regular import check_regular, file_kind
from ocrctl.models.onnx_tensors import damaged_onnx, onnx_metadata
from ocrctl.models.registry import family_of, specs

PADDLE = "paddle"  # scheme of published files of PaddleOCR
RUN_CHECKPOINTS = ("best.ckpt", "last.ckpt")  # in order of preference
ZIP_MAGIC = b"PK\x03\x04"  # torch.save writes a zip archive


@dataclass(frozen=True)
class ModelFile:
    """A resolved model: the file, the backend that reads it, and a short name for tables and file names.

    A published model of another project, also one in an ONNX file, has the kind "checkpoint": it is converted. With
    `graph`, an exported file of the same architecture, ONNX Runtime can run it too (inference.published_graph).
    """

    path: Path
    kind: Literal["checkpoint", "onnx"]
    name: str
    graph: Path | None = None


def locate(model: str | Path) -> ModelFile:
    """Resolve `model`: an existing path always wins over a prefix.

    A run folder means its best.ckpt (last.ckpt before the first validation), an export bundle its one ONNX file,
    `default:NAME` the file of that default model, `paddle:FILE` a published ONNX file of PaddleOCR. Raises UsageError
    for an unknown default model and the bare name of an architecture, InputError when the path is missing or not a
    model, MissingRequirement when the package that contains a default model is not installed.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return _from_folder(path)
    if path.is_file():
        return _from_file(path)
    if path.exists():
        raise InputError(f"{path}: expected a model, found {file_kind(path.stat().st_mode)}.")
    from ocrctl.inference.default_models import SCHEME, default_model  # which the path of a model does not need

    scheme, colon, name = str(model).partition(":")
    if colon and scheme == SCHEME:
        default = default_model(name)
        return replace(_from_file(default.path()), name=name, graph=default.graph_path())
    if colon and scheme == PADDLE:
        return _published(Path(name).expanduser(), str(model))
    _refuse_name(str(model))
    raise InputError(
        f"{path}: there is no such model.{near_path(path)}", hint="train one: ocrctl train --profile quickstart"
    )


def refuse_misspelt_architecture(subject: str) -> None:
    """Raise UsageError where ARCH|MODEL `subject` is no path and a bare name near that of an architecture."""
    if subject in specs() or not subject.replace("-", "").replace("_", "").isalnum():
        return
    if not Path(subject).exists() and (near := did_you_mean(subject, specs())):
        raise UsageError(f"Unknown architecture {subject!r}.{near}", hint="ocrctl model list")


def _published(path: Path, model: str) -> ModelFile:
    """The published ONNX file of PaddleOCR at `path`, of MODEL `paddle:PATH`. Its tensors are checked when it is read,
    as those of a file without the prefix are. Raises InputError for any other file."""
    if not path.is_file():
        what = f"{file_kind(path.stat().st_mode)}." if path.exists() else f"nothing.{near_path(path)}"
        raise InputError(f"{model}: expected an ONNX file of PaddleOCR at {path}, found {what}")
    check_regular(path)
    if not _lacks_card(path):
        raise InputError(f"{model}: ocrctl exported this file, PaddleOCR did not.", hint=f"without the prefix: {path}")
    return ModelFile(path, "checkpoint", path.stem)


def _refuse_name(name: str) -> None:
    """Raise UsageError when `name` is that of an architecture or of a default model, not of a file."""
    if name in specs():
        hint = f"train one: ocrctl train {name} -d SPEC"
        if family_of(name).published:
            hint += f"; or convert published weights: ocrctl model import FILE --as {name} -o {name}.ckpt"
        raise UsageError(f"'{name}' is an architecture, not a trained model.", hint=hint)
    from ocrctl.inference.default_models import SCHEME, default_models

    if name in default_models():
        raise UsageError(f"'{name}': there is no such file.", hint=f"the default model is {SCHEME}:{name}")


def _from_folder(folder: Path) -> ModelFile:
    for name in RUN_CHECKPOINTS:
        if (folder / name).is_file():
            return ModelFile(folder / name, "checkpoint", folder.resolve().name)
    graphs = sorted(graph for graph in folder.glob("*.onnx") if not graph.name.startswith("."))
    if len(graphs) == 1:
        check_regular(graphs[0])
        return ModelFile(graphs[0], "onnx", graphs[0].stem)
    if graphs:
        names = ", ".join(graph.name for graph in graphs)
        raise InputError(f"{folder}: holds several ONNX files ({names}); name one of them.")
    raise InputError(
        f"{folder}: is neither a run folder ({' or '.join(RUN_CHECKPOINTS)}) nor an export bundle (one .onnx file)."
    )


def _from_file(path: Path) -> ModelFile:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not magic:
        raise InputError(f"{path}: expected a model, found an empty file.")
    # Content first: a checkpoint that was renamed is still a checkpoint.
    exported = path.suffix == ".onnx" and magic != ZIP_MAGIC and not _lacks_card(path)
    kind: Literal["checkpoint", "onnx"] = "onnx" if exported else "checkpoint"
    # All runs use the same file names; the folder distinguishes them.
    name = path.resolve().parent.name if path.name in RUN_CHECKPOINTS else path.stem
    return ModelFile(path, kind, name)


def _lacks_card(path: Path) -> bool:
    """Whether `path` is an ONNX file that ocrctl did not write. Raises InputError when it is none, or damaged."""
    try:
        return CARD_KEY not in onnx_metadata(path)
    except (IndexError, ValueError) as error:
        raise damaged_onnx(path, error) from error
