"""HTML reports of evaluated detectors, one per model and protocol on all data together, and their gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ocrctl.core.eval.page_samples import EvalPages
from ocrctl.core.eval.pages import PageResult, PagesEvaluation
from ocrctl.core.eval.reports import embed
from ocrctl.files.atomic import write_with_newline
from ocrctl.inference.locate import RUN_CHECKPOINTS
from ocrctl.inference.writers.report.pages import EmbeddedImage, render_pages
from ocrctl.metrics.evaluation import ModelInfo
from ocrctl.metrics.pages import check_metrics


def write_pages(path: Path, evaluation: PagesEvaluation, data: Sequence[EvalPages]) -> list[Path]:
    """Write self-contained HTML files: `path`, or PATH-MODEL-PROTOCOL beside it for several; returns the paths.

    Raises InputError when one cannot be written.
    """
    results = [evaluation.overall(m.name, protocol) for m in evaluation.models for protocol in evaluation.protocols]
    names = _file_names(evaluation.models)
    written = []
    for item in results:
        model = names[item.model]
        target = path if len(results) == 1 else path.with_stem(f"{path.stem}-{model}-{item.scores.protocol}")
        write_with_newline(target, _page(item, evaluation, data))
        written.append(target)
    return written


def _file_names(models: Sequence[ModelInfo]) -> dict[str, str]:
    """Return a short, distinct part of a file name for the name of each model: its run folder or file."""
    paths = [Path(model.path) for model in models]
    short = [path.resolve().parent.name if path.name in RUN_CHECKPOINTS else path.stem for path in paths]
    if len(set(short)) < len(short):
        short = [f"{number}-{name}" for number, name in enumerate(short, 1)]
    return {model.name: name for model, name in zip(models, short, strict=True)}


def _page(item: PageResult, evaluation: PagesEvaluation, data: Sequence[EvalPages]) -> str:
    def embed_page(number: int) -> EmbeddedImage:
        source, index = item.sample_indices[number]
        return embed(data[source].image(index))

    thresholds = ", ".join(f"{name} {value:g}" for name, value in sorted(item.thresholds.items()))
    notes = [f"Thresholds of the model: {thresholds}."]
    notes += [f"Unreadable, not scored: {one.error}" for one in evaluation.unreadable]
    specs = ", ".join(info.spec for info in evaluation.datasets)
    return render_pages(f"{item.model} on {specs}", item.scores, item.truth, item.found, embed_page, item.search, notes)


def check_gates(gates: Mapping[str, float], protocols: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Resolve each gate to (protocol, metric): `hmean`, of the first protocol, or `cleval.hmean`. Raises UsageError."""
    found = {}
    for gate in gates:
        head, _, rest = gate.partition(".")
        protocol, metric = (head, rest) if head in protocols and rest else (protocols[0], gate)
        check_metrics([metric], protocol, False)
        found[gate] = (protocol, metric)
    return found


def failed_gates(evaluation: PagesEvaluation, gates: Mapping[str, float]) -> list[str]:
    """Return a sentence for each model and failed gate on all data together; NaN fails every gate."""
    sentences = []
    for gate, (protocol, metric) in check_gates(gates, evaluation.protocols).items():
        for model in evaluation.models:
            value = evaluation.overall(model.name, protocol).scores.metric(metric)
            if not value >= gates[gate]:
                wanted = f"at least {gates[gate]:.4f} is required"
                sentences.append(f"{model.name}: {protocol} {metric} is {value:.4f}, {wanted}")
    return sentences
