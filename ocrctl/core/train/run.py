"""`ocrctl train`: from settings to a run folder with a trained model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrctl.config.feature_grid import OWN
from ocrctl.config.limits import DEFAULTS as LIMITS
from ocrctl.config.limits import use_limits
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.config.suggest import did_you_mean
from ocrctl.core.runs.folder import (
    absolute_paths,
    check_no_run,
    check_not_running,
    prepare_run,
    resolved_init,
    resume_settings,
)
from ocrctl.core.settings import load_settings
from ocrctl.core.train.task import OnStep, Report, TrainingTask, TrainResult
from ocrctl.errors import OcrctlError, PluginError, UsageError
from ocrctl.files.lock import check_folder
from ocrctl.metrics.recognition import CONSTANT_SHARE
from ocrctl.models.registry import DEFAULT_ARCH
from ocrctl.runtime import keep_memory, mkldnn, model_threads, share_cores
from ocrctl.training.failures import resumable
from ocrctl.training.processes import ALONE, ProcessInfo, with_processes

if TYPE_CHECKING:
    from ocrctl.training.device import Accelerator


AtEnd = Callable[[Settings, TrainingTask, TrainResult], None]


@dataclass(frozen=True)
class TrainRequest:
    """Options of `train` besides the settings. `process`: this one of several that train together."""

    settings: Settings
    out: Path | None = None
    resume: bool = False
    fast_dev_run: bool = False
    preflight: bool = False
    debug_cuda: bool = False
    auto_batch: bool = False
    process: ProcessInfo = ALONE


def load_train_settings(
    profiles: Sequence[str] | None, sets: Sequence[str], flags: Mapping[str, Any], *, use_variables: bool = True
) -> Settings:
    """Merge all layers of settings. With `use_variables`, OCRCTL_PROFILE and OCRCTL_DATA (comma-separated) replace
    missing flags; a resumed run ignores them."""
    variables = os.environ if use_variables else {}
    names = list(profiles) if profiles else [name for name in variables.get("OCRCTL_PROFILE", "").split(",") if name]
    settings = load_settings(names, sets, flags)
    data = variables.get("OCRCTL_DATA")
    if data and settings.data.train is None:
        settings = with_changes(settings, data=settings.data.model_copy(update={"train": data.split(",")}))
    return absolute_paths(settings)


def train(
    request: TrainRequest,
    report: Report,
    on_step: OnStep = lambda done, total: None,
    at_end: AtEnd | None = None,
) -> TrainResult:
    """Train a recogniser or a detector, reporting line by line; `on_step` gets (steps done, steps of the run or None),
    `at_end` settings, data and result of a run that has reached its end.

    Raises UsageError (settings), InputError (data, checkpoint), MissingRequirement (CUDA, an extra) or ResumableStop
    (non-finite loss, full disk, or a missing resource, see ocrctl.shortages).
    """
    state = _RunState(request.settings, request.out)
    try:
        return _train(request, report, state, on_step, at_end)
    except PluginError as error:  # memory may run out in a plug-in's code, too
        if error.__cause__ and (stop := resumable(error.__cause__, state.settings, state.run)):
            raise stop from error
        raise
    except OcrctlError:
        raise
    except Exception as error:
        if stop := resumable(error, state.settings, state.run):
            raise stop from error
        raise


@dataclass
class _RunState:
    """Settings and folder of a run as known so far, for the message of an error."""

    settings: Settings
    run: Path | None


def _train(
    request: TrainRequest, report: Report, state: _RunState, on_step: OnStep, at_end: AtEnd | None
) -> TrainResult:
    share_cores()  # before any import of torch; loader processes need the cores (docs/research/benchmarks.md)
    keep_memory()
    if request.debug_cuda:  # must be set before CUDA is initialised
        os.environ["CUDA_LAUNCH_BLOCKING"] = "1"
        report(
            "debug-cuda: kernels run synchronously (CUDA_LAUNCH_BLOCKING=1), so an error names the line that caused "
            "it; assertions inside kernels require a debug build of PyTorch (TORCH_USE_CUDA_DSA at compile time)"
        )
    if request.resume and request.fast_dev_run:
        raise UsageError("--resume cannot be combined with --fast-dev-run: a trial must not change a run.")
    process = request.process
    if process.first:
        check_not_running(request.out)
        check_folder(request.out or Path("runs"))
        check_no_run(request.out, resume=request.resume)
    settings = with_processes(request.settings, process, asks_for_processes(request.settings))
    if settings.model.init:
        changed = {"init": resolved_init(settings.model.init)}
        settings = with_changes(settings, model=settings.model.model_copy(update=changed))
    if request.resume:
        settings = resume_settings(request.out, settings, report)
    else:
        settings = with_changes(settings, train=settings.train.model_copy(update={"global_batch": None}))
    settings = with_changes(settings, train=_checked_processes(settings.train, process))
    if settings.arch is None:
        settings = with_changes(settings, arch=DEFAULT_ARCH)
    if request.fast_dev_run:
        settings = _shortened(settings)
    state.settings = settings
    set_names = (name.split(".") for name in LIMITS)
    use_limits({f"{section}.{name}": getattr(getattr(settings, section), name) for section, name in set_names})

    from ocrctl.models.registry import get_spec, spec_for

    _check_keep(settings)
    spec = get_spec(settings.arch or DEFAULT_ARCH, plugin=settings.model.plugin)
    if spec.plugin != settings.model.plugin:  # what a resumed run says is missing, where it is not given again
        settings = with_changes(settings, model=settings.model.model_copy(update={"plugin": spec.plugin}))
        state.settings = settings
    if settings.model.init:
        from ocrctl.core.train.initialise import backbone_weights

        settings = with_changes(settings, model=backbone_weights(settings.model, spec))
        state.settings = settings
    spec = spec_for(spec.name, settings.model)
    resumes = request.resume and request.out is not None and (request.out / "last.ckpt").exists()
    accelerator = _check_settings(settings, spec, fresh=not resumes)
    if process.world > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(model_threads(settings.train.threads, process.devices)))
        if request.auto_batch:
            raise UsageError("--auto-batch: finds the batch of one process.", hint="leave it out, or --devices 1")
    last = request.out / "last.ckpt" if resumes and request.out is not None else None
    task = _prepare(settings, spec, report, last)
    if request.auto_batch and request.resume and request.out is not None and (request.out / "config.toml").exists():
        report("auto-batch: the run goes on with its own train.batch_size")
    elif request.auto_batch:
        from ocrctl.core.train.auto_batch import with_largest_batch

        settings = with_largest_batch(settings, task.card, accelerator, report)
        train = settings.train.model_copy(update={"global_batch": settings.train.batch_size})
        settings = with_changes(settings, train=train)
        state.settings = settings
        task = _prepare(settings, spec, lambda line: None, last)  # batches by width depend on the size
    from ocrctl.core.train.fit import fit

    if settings.model.init and not request.fast_dev_run:
        from ocrctl.core.train.keep import check_general

        check_general(settings, spec)

    def make_folder(lock: Callable[[Path], None]) -> Path:
        if not process.first:  # the first process makes it and tells the others
            return request.out or Path("runs")
        state.run = prepare_run(request.out, settings, task, lock, link_last=not request.fast_dev_run)
        return state.run

    with mkldnn(settings.train.mkldnn):
        if request.preflight and process.first:
            from ocrctl.core.train.preflight import preflight

            preflight(settings, task, report)
        resume_from = request.out if request.resume else None
        result = fit(
            settings, task, accelerator, make_folder, report,
            resume_from=resume_from, on_step=on_step, process=process,
        )  # fmt: skip
    if not process.first:
        return result
    if request.fast_dev_run and request.out is None and result.stopped_by_signal is None:
        shutil.rmtree(result.run, ignore_errors=True)  # a trial leaves nothing where no folder was named
    if at_end is not None and result.stopped_by_signal is None and not request.fast_dev_run:
        at_end(settings, task, result)
    eval_spec = settings.data.val or (None if task.held_out else task.synth_spec)
    return replace(result, eval_spec=eval_spec, unread="" if request.fast_dev_run else unread(result))


def _prepare(settings: Settings, spec: ModelSpec, report: Report, last: Path | None) -> TrainingTask:
    """Open and check the data. `last`: the checkpoint that the run resumes from."""
    if spec.task == "detection":
        from ocrctl.core.train import detection

        return detection.prepare(settings, spec, report)
    from ocrctl.core.train import recognition

    return recognition.prepare(settings, spec, report, last)


def asks_for_processes(settings: Settings) -> bool:
    """Return whether a layer of the settings names a number of devices or machines."""
    return "train" in settings.model_fields_set and bool({"devices", "nodes"} & settings.train.model_fields_set)


def _checked_processes(train: TrainSettings, process: ProcessInfo) -> TrainSettings:
    """Return the settings with `global_batch`. Raises UsageError when more processes are asked for than were started,
    as for a caller from Python."""
    if train.processes != process.world:
        raise UsageError(
            f"train.devices is {train.devices}, but this process trains alone.",
            hint=f"start it with the command line, or with torchrun --nproc-per-node={train.devices}",
        )
    return train.model_copy(update={"global_batch": train.whole_batch})


def _check_keep(settings: Settings) -> None:
    """Raise UsageError or InputError for a --keep or --general that is neither a word of its own nor a SPEC, before
    models and data are opened."""
    from ocrctl.data.formats.spec import parse_spec

    for option, given, words in (
        ("--keep", settings.data.keep, ("synth", "none")),
        ("--general", settings.data.general, ("none",)),
    ):
        if not given or given in words or given.startswith("images:"):
            continue
        try:
            parse_spec(given)
        except OcrctlError as error:
            raise type(error)(f"{option} {error.message}{did_you_mean(given, words)}", hint=error.hint) from error


def _check_settings(settings: Settings, spec: ModelSpec, *, fresh: bool) -> Accelerator:
    """Check the settings against the architecture and the machine, before any data is read; returns device and
    precision of the run. `fresh`: the run starts from new weights or --from, not from its own checkpoint.

    Raises UsageError for settings that contradict each other or the architecture, MissingRequirement for a missing
    device or logger, InputError when --from names no model or one of another family.
    """
    from ocrctl.models.registry import specs
    from ocrctl.training.device import resolve_accelerator
    from ocrctl.training.loggers import check_logger

    accelerator = resolve_accelerator(settings.train)
    check_logger(settings)
    model_threads(settings.train.threads)
    if settings.model.pretrained and (spec.backbones or (OWN,))[0] == OWN:
        raise UsageError(f"model.pretrained: {spec.name} has no backbone with ImageNet weights.", hint="--from MODEL")
    if settings.model.unfold and "unfold" not in spec.options:
        known = ", ".join(name for name, one in specs().items() if "unfold" in one.options)
        raise UsageError(f"model.unfold: {spec.name} has no folded branches.", hint=f"supported by {known}")
    if settings.train.freeze_norm and not settings.model.init:
        raise UsageError(
            "train.freeze_norm: requires --from: a new model has no statistics to keep.", hint="--from MODEL"
        )
    if settings.train.freeze not in (None, 0, "") and not (settings.model.init or settings.model.pretrained):
        raise UsageError("train.freeze: requires --from: random weights must be trained.", hint="--from MODEL")
    if fresh and settings.model.init:
        from ocrctl.core.train.initialise import check_family

        check_family(settings.model.init, spec)
    return accelerator


def unread(result: TrainResult) -> str:
    """Return why the model is useless so far: (nearly) all predictions of the last validation are empty, or no
    validation had a correct one; "" otherwise and without a validation."""
    last = result.last
    if last.get("val_empty", 0.0) >= CONSTANT_SHARE:
        return f"reads nothing: {last['val_empty']:.0%} of the validation predictions are empty"
    if "val_exact" in last and not max(result.best_accuracy, last["val_exact"]):
        return "reads no validation word correctly"
    if "val_hmean" in last and not max(result.best_accuracy, last["val_hmean"]):
        return "finds no word on the validation pages"
    return ""


def _shortened(settings: Settings) -> Settings:
    """Return the settings of --fast-dev-run: three steps and one validation of a few samples."""
    batch = min(settings.train.batch_size, 8)
    train = settings.train.model_copy(
        update={"max_steps": 3, "max_minutes": None, "max_epochs": None, "val_every_steps": 3, "log_every_steps": 1,
                "batch_size": batch, "global_batch": batch * settings.train.processes}
    )  # fmt: skip
    data = settings.data.model_copy(update={"max_val_samples": min(settings.data.max_val_samples, 32)})
    return with_changes(settings, train=train, data=data)


def with_changes(settings: Settings, **changed: Any) -> Settings:
    """Return a copy of frozen settings with some sections replaced."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return Settings.model_construct(_fields_set={*settings.model_fields_set, *changed}, **{**values, **changed})
