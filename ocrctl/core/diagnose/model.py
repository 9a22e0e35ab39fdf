"""`ocrctl diagnose model`: build a model and batches from the settings, as a training run would, and check them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ocrctl.config.limits import DEFAULTS as LIMITS
from ocrctl.config.limits import use_limits
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.train import detection, recognition
from ocrctl.core.train.data_errors import TrainingDataError
from ocrctl.core.train.initialise import backbone_weights, initialise
from ocrctl.core.train.run import with_changes
from ocrctl.core.train.task import TrainingTask
from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.data.datasets.recognition import FiniteWords
from ocrctl.data.formats.spec import open_source, parse_spec
from ocrctl.data.validate.run import Target, run_rules
from ocrctl.diagnose.checks import Check, Diagnosis, count, fail, ok, skipped, with_examined
from ocrctl.diagnose.model.grid import page_grid, word_grid
from ocrctl.diagnose.model.run import EXAMINED
from ocrctl.diagnose.model.run import diagnose_model as check_model
from ocrctl.diagnose.model.subject import Subject
from ocrctl.errors import OcrctlError
from ocrctl.inference.locate import locate, refuse_misspelt_architecture
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_initial
from ocrctl.models.freeze import freeze
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec, spec_for, specs
from ocrctl.runtime import mkldnn, model_threads
from ocrctl.text.normalize import normalize_label
from ocrctl.training.device import resolve_accelerator
from ocrctl.training.objectives import choose_objective, to_device

if TYPE_CHECKING:
    from ocrctl.core.train.detection import DetectionTask
    from ocrctl.core.train.recognition import RecognitionTask

BATCHES = 8  # of the data, beside the one that is overfitted
CPU_SIDE = 192  # pixels of a training page on a CPU: a step at 320x320 takes three times as long, at 640x640 seconds
STREAM_LABELS = 500  # labels of an endless stream that the grid is compared with
REFUSED = "training refuses to start; the rows below leave these samples out"
SEARCHED_PAGES = 64  # draws among which pages with text are found for the batch


@dataclass(frozen=True)
class ModelRequest:
    """Options of `diagnose model`: an architecture or the location of a model, settings, and the steps in which one
    batch must be overfitted."""

    model: str
    settings: Settings
    steps: int


def diagnose_model(request: ModelRequest, on_step: Callable[[int, int], None] = lambda done, total: None) -> Diagnosis:
    """Check that a model can learn the data of the settings and be exported.

    Raises UsageError (settings), InputError (data, model) or MissingRequirement (CUDA, an extra).
    """
    with mkldnn(request.settings.train.mkldnn):
        try:
            subject, data = open_subject(request)
        except TrainingDataError as error:
            return _without_data(request, error)
        return check_model(subject, [data], request.steps, on_step)


def _without_data(request: ModelRequest, error: TrainingDataError) -> Diagnosis:
    """Return the rows that need no sample, where `error` leaves none to train on."""
    settings, spec = _resolved(request)
    rows = [fail("data", error.message, error.hint or "another dataset, or another architecture", REFUSED)]
    if spec.task == "recognition":
        names = [name for name in settings.data.train or [] if parse_spec(name).format != "synth"]
        labels = [normalize_label(text) for name in names for text in open_source(name).labels]
        rows.append(word_grid(spec, [text for text in labels if text]))
    checks = with_examined(rows, EXAMINED)
    return Diagnosis(
        f"model {spec.name}", checks, f"{spec.name}: NOT ready to train, no sample remains ({count(checks)})."
    )


def _resolved(request: ModelRequest) -> tuple[Settings, ModelSpec]:
    """Return the settings with the architecture, and its spec."""
    settings = _with_model(request.settings, request.model)
    if settings.model.init:
        known = get_spec(settings.arch or "", plugin=settings.model.plugin)
        settings = with_changes(settings, model=backbone_weights(settings.model, known))
    return settings, spec_for(settings.arch or "", settings.model)


def open_subject(request: ModelRequest) -> tuple[Subject, Check]:
    """Return the model and batches that the settings describe, and the row about the data; raises as
    `diagnose_model`."""
    settings, spec = _resolved(request)
    use_limits({name: getattr(getattr(settings, name.split(".")[0]), name.split(".")[1]) for name in LIMITS})
    torch.set_num_threads(model_threads(settings.train.threads))
    device = torch.device(resolve_accelerator(settings.train).device)
    size = (settings.page.height, settings.page.width)
    if spec.task == "detection" and device.type == "cpu":
        settings = _smaller_pages(settings)
    task, row = _open(settings, spec)
    grid = _grid(spec, task, size, skips=settings.data.bad_labels == "skip")
    return _subject(settings, spec, task, device, grid), row


def _with_model(settings: Settings, model: str) -> Settings:
    """Return the settings for an architecture, or for the weights of a model."""
    if model in specs():
        return with_changes(settings, arch=model)
    refuse_misspelt_architecture(model)
    found = locate(model)
    _, card, _ = load_initial(found.path)
    changed: dict[str, Any] = {"init": str(Path(found.path).resolve())}
    if card.task == "recognition":
        changed |= {"width": card.width, "resize": card.preprocessing}
    changed |= {name: card.model[name] for name in ("backbone", "strides") if name in card.model}
    return with_changes(settings, arch=card.arch, model=settings.model.model_copy(update=changed))


def _smaller_pages(settings: Settings) -> Settings:
    """Return settings that train on windows of CPU_SIDE pixels, in which text keeps its size."""
    page = settings.page
    height, width = min(page.height, CPU_SIDE), min(page.width, CPU_SIDE)
    share = (page.height * page.width / (height * width)) ** 0.5
    zoom = {"zoom_min": min(20.0, page.zoom_min * share), "zoom_max": min(20.0, page.zoom_max * share)}
    changed = {"height": height, "width": width, **zoom, "augment": max(page.augment, 1e-3)}
    return with_changes(settings, page=page.model_copy(update=changed))


def _open(settings: Settings, spec: ModelSpec) -> tuple[TrainingTask, Check]:
    """Open the data as training does; where training would refuse them, leave out what it refuses, and say so."""
    notes: list[str] = []
    prepare: Callable[..., TrainingTask] = detection.prepare if spec.task == "detection" else recognition.prepare
    try:
        return prepare(settings, spec, notes.append), ok("data", _used(notes))
    except TrainingDataError as error:
        skip = {"bad_labels": "skip", "bad_polygons": "skip", "unknown_chars": "skip"}
        lenient = with_changes(settings, data=settings.data.model_copy(update=skip))
        task = prepare(lenient, spec, notes.append)
        fix = error.hint or "ocrctl dataset validate lists them"
        return task, fail("data", error.message, fix, REFUSED)


def _used(notes: list[str]) -> str:
    """Return what the lines about the data of a run say of the training data."""
    return "; ".join(note.partition(": ")[2] for note in notes if note.startswith("train: "))


def _subject(settings: Settings, spec: ModelSpec, task: TrainingTask, device: torch.device, grid: Check) -> Subject:
    target = task.overfit_batch()
    numbers = target.numbers
    if spec.task == "detection":
        target = _with_text(task, target)  # type: ignore[arg-type]
        numbers = target.numbers
    size = len(numbers)
    further = range(max(numbers) + 1, max(numbers) + 1 + BATCHES * size)

    def batch(chosen: list[int]) -> dict[str, Any]:
        found = task.samples.__getitems__(chosen)
        if isinstance(found, OcrctlError):
            raise found
        tensors: dict[str, Any] = to_device(to_tensors(found), device)
        return tensors

    def build() -> OCRModel:
        torch.manual_seed(settings.seed)
        model = build_model(task.card)
        if settings.model.pretrained:
            from ocrctl.models.backbones.pretrained import load_pretrained

            backbone: Any = getattr(model.encoder, "backbone", model.encoder)
            name = task.card.model.get("backbone", task.spec.backbones[0])
            load_pretrained(backbone, name, settings.model.pretrained)
        if settings.model.init:
            initialise(model, task.card, settings.model.init)
        model.norm_frozen = bool(settings.train.freeze_norm)
        freeze(model, settings.train.freeze)
        return model.to(device).train()

    def locate_draw(number: int) -> str:
        return task.samples.locate(number)[1]

    return Subject(
        card=task.card, spec=spec, train=settings.train, objective=choose_objective(task.card, settings.train),
        device=device, build=build, batch=batch(numbers), score=target.score, locate=locate_draw,
        more=[batch(list(further[start : start + size])) for start in range(0, len(further), size)],
        grid=[grid], seed=settings.seed,
    )  # fmt: skip


def _with_text(task: DetectionTask, target: Any) -> Any:
    """Return the batch to overfit, of the first draws that show words: a page without any is no test."""
    chosen = []
    for number in range(SEARCHED_PAGES):
        if bool((~task.samples.sample(number)[1].ignore).any()):
            chosen.append(number)
        if len(chosen) == len(target.numbers):
            return task.overfit_batch(chosen)
    return target


def _grid(spec: ModelSpec, task: TrainingTask, size: tuple[int, int], *, skips: bool) -> Check:
    """Compare the feature grid with all labels, or with the words of all pages at `size` (height, width)."""
    if spec.task == "detection":
        pages: DetectionTask = task  # type: ignore[assignment]
        sources = [part for part in pages.samples.parts if isinstance(part, PageSource)]
        if not sources:
            return skipped("grid", "synthetic pages are drawn for the training size")
        rows = []
        for source in sources:
            findings, _ = run_rules(source.data, Target(spec, None, size), decode=False, pairs=False)
            rows.append(page_grid(spec, findings, int((~source.data.ignore).sum()), size))
        return max(rows, key=lambda row: ("ok", "warn", "fail").index(row.status))
    words: RecognitionTask = task  # type: ignore[assignment]
    finite = [part for part in words.samples.parts if isinstance(part, FiniteWords)]
    labels = [normalize_label(text) for part in finite for text in part.source.labels]
    labels = [text for text in labels if text] or [words.samples.label(number) for number in range(STREAM_LABELS)]
    return word_grid(spec, labels, skips=skips)
