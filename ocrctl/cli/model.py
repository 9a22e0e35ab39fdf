"""`ocrctl model`: list architectures, show, merge and change trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.early import check_models, check_texts
from ocrctl.cli.help import MODEL, OUTPUT
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.model_merge import merge
from ocrctl.cli.options import Json, NgramWeight, Plugins, Quiet, predict_command
from ocrctl.errors import UsageError, counted
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.config.model_card import ModelCard
    from ocrctl.core.model.figures import ModelFigures

Measure = Annotated[
    bool, typer.Option("--measure", help="Also measure the milliseconds of one image on this machine's CPU.")
]

app = CommandApp("List architectures and default models, show, merge and change models, import weights.")
app.command("merge")(merge)


@app.command("list")
def list_(plugin: Plugins = None, measure: Measure = False, json: Json = False, quiet: Quiet = False) -> None:
    """List the default models with their origin, licence and accuracy, then the architectures of `train`.

    Of each architecture: parameters, GFLOPs, grid of features and output steps for one image of the given size, and
    with --measure the milliseconds of one image on this machine, in PyTorch with random weights. Among the
    accuracies, str36 leaves accented letters out, and str36-nfkd counts them as their base letters.
    """
    from ocrctl.cli.progress import ProgressBar
    from ocrctl.core.model.info import list_models

    with ProgressBar("models") as bar:
        found = list_models(measure=measure, progress=bar)
    if json:
        console.write_json(found)
        return
    console.table(
        ["weights", "arch", "description", "accuracy", "licence", "origin"],
        [
            (
                one.model,
                one.arch,
                one.summary,
                _accuracy(one.accuracy),
                one.licence,
                one.origin if one.installed else f"{one.origin} (not installed: pip install 'ocrctl[{one.extra}]')",
            )
            for one in found.weights
        ],
    )
    console.write()
    tasks = ("recognition", "detection")
    pairs = sorted(zip(found.models, found.figures, strict=True), key=lambda pair: tasks.index(pair[0].task))
    console.table(
        ["arch", "task", "parameters", "GFLOPs", "input", "grid", "steps", *(["ms"] if measure else []), "description"],
        [
            (spec.name, spec.task, *_figures(one), *([_milliseconds(one)] if measure else []), spec.summary)
            for spec, one in pairs
        ],
    )


@app.command("info")
def info(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Checkpoint, ONNX file, bundle, run folder or default:NAME.")
    ],
    plugin: Plugins = None,
    measure: Measure = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the architecture, charset, preprocessing, thresholds and n-gram model of a trained model, and its cost.

    FLOPs, grid of features and output steps are those of one image of the given size.
    """
    from ocrctl.core.model.info import model_info

    found = model_info(model, figures=True, measure=measure)
    if json:
        console.write_json(found)
        return
    card = found.card
    console.write(
        f"{found.path}: {card.arch} ({card.task}), {found.parameters:,} parameters, {found.bytes / 2**20:.1f} MiB"
    )
    mean, std = (_numbers(value) for value in (card.mean, card.std))
    console.write(f"input: {_size(card)}, {card.channels} channel{'s' * (card.channels > 1)}, mean {mean}, std {std}")
    if found.figures is not None:
        _, gigaflops, image, grid, steps = _figures(found.figures)
        steps = f", {steps} output steps" if steps else ""
        console.write(f"one image of {image}: {gigaflops} GFLOPs, features {grid}{steps}")
        if measure:
            console.write(f"latency: {_milliseconds(found.figures)} ms an image on this machine's CPU, one at a time")
    if card.plugin:
        console.write(f"plug-in: {card.plugin}")
    if card.charset:
        console.write(f"charset: {counted(len(card.charset), 'character')}, {card.charset}")
        console.write(f"labels: at most {counted(card.max_label_length, 'character')}")
    if card.ngram is not None:
        console.write(f"n-gram model: {card.ngram.describe()}, weight {card.ngram.weight:g} (without: --ngram none)")
    if card.thresholds:
        thresholds = ", ".join(f"{name} {value:g}" for name, value in card.thresholds.items())
        change = f"; change one: ocrctl model set {shell_quote(model)} NAME=VALUE" if found.default is None else ""
        console.write(f"thresholds: {thresholds}{change}")
    if found.default is not None:
        default = found.default
        console.write(f"origin: {default.origin}, {default.licence}")
        if default.accuracy:
            console.write(f"accuracy: {_accuracy(default.accuracy)}")
        for command in default.commands:
            console.write(f"made by: {command}")
    console.suggest(predict_command(model, card.task, plugin))


def _figures(one: ModelFigures | None) -> tuple[str, str, str, str, str]:
    """Format parameters, GFLOPs, size of the image, grid of features and output steps."""
    if one is None:
        return "", "", "", "", ""
    steps = "" if one.steps is None else str(one.steps)
    image = f"{one.height}x{one.width}x{one.channels}"
    return f"{one.parameters:,}", f"{one.flops / 1e9:.3g}", image, f"{one.grid[0]}x{one.grid[1]}", steps


def _milliseconds(one: ModelFigures | None) -> str:
    return "" if one is None or one.latency_ms is None else f"{one.latency_ms:.3g}"


def _size(card: ModelCard) -> str:
    """Describe the input in words: `48 pixels high, 8 to 3200 wide, aspect ratio kept`."""
    wide = f"{card.kept.min_width} to {card.width}" if card.kept is not None else f"{card.width}"
    size = f"{card.height} pixels high, {wide} wide"
    if card.task == "detection":
        return f"longer side {card.model['side']} pixels, trained on {size}"
    return f"{size}, {'stretched' if card.kept is None else 'aspect ratio kept'}"


def _accuracy(figures: Mapping[str, float]) -> str:
    """Format figures in percent, by what was measured."""
    return ", ".join(f"{what} {value:g} %" for what, value in figures.items())


def _numbers(value: float | Sequence[float]) -> str:
    """Format one number for all channels, or one for each."""
    return ", ".join(f"{one:.4g}" for one in (value if isinstance(value, Sequence) else (value,)))


@app.command("set")
def set_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Checkpoint, ONNX file, bundle or run folder.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Thresholds, such as box_threshold=0.5.")
    ] = None,
    ngram: Annotated[
        list[str] | None,
        typer.Option(
            "--ngram",
            metavar="SOURCE",
            help="Store texts whose n-gram model ranks what a CTC recogniser reads: english (a word list), a file with "
            "one text a line, or the labels of a SPEC. Repeatable. none: remove it.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    ngram_weight: NgramWeight = None,
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Set thresholds of a detector or the n-gram model of a recogniser; eval, predict and export read its file.

    `ocrctl eval --find-threshold` finds the best threshold on your pages. An n-gram model knows common words: of what
    the recogniser finds nearly equally probable, it prefers what looks like them.

    \b
    Examples:
      ocrctl model set runs/dbnet box_threshold=0.5
      ocrctl model set runs/words --ngram data/train --ngram english
    """
    if ngram or ngram_weight is not None:
        return _set_ngram(model, ngram or [], ngram_weight, values, json)
    if not values:
        raise UsageError("model set: nothing to set.", hint="NAME=VALUE of a detector, --ngram SOURCE of a recogniser")
    from ocrctl.cli.pairs import number_pairs
    from ocrctl.core.model.set import set_thresholds

    changed = set_thresholds(model, number_pairs(values, "model set", "NAME=NUMBER, such as box_threshold=0.5"))
    if json:
        console.write_json(changed)
        return
    for name, value in changed.now.items():
        before = changed.before.get(name)
        if before != value:
            console.write(f"{name}: {'unset' if before is None else f'{before:g}'} -> {value:g}")
    console.note(f"written: {changed.path}")


def _set_ngram(model: str, sources: list[str], weight: float | None, values: list[str] | None, json: bool) -> None:
    from ocrctl.core.model.set import set_ngram

    if values:
        raise UsageError(f"{values[0]}: thresholds are those of a detector, --ngram that of a recogniser.")
    check_texts(None, sources)
    changed = set_ngram(model, sources, weight)
    if json:
        console.write_json(changed)
        return
    console.write(f"n-gram model: {changed.before or 'none'} -> {changed.now or 'none'}")
    console.note(f"written: {changed.path}")


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Weights of another project: PyTorch, safetensors, ONNX.")
    ],
    arch: Annotated[
        str,
        typer.Option("--as", metavar="ARCH", help="Architecture of the file.", rich_help_panel=MODEL),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="MODEL", help="Checkpoint to write, such as words.ckpt.", rich_help_panel=OUTPUT
        ),
    ],
    charset: Annotated[
        str | None,
        typer.Option(
            "--charset",
            metavar="FILE",
            help="Charset in the order of the model's classes. Default: as the file or its release says.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert published weights of another project to a checkpoint with a model card.

    No code in FILE is run. `ocrctl train --from`, `eval`, `predict` and `export` also read such a file directly.

    \b
    Examples:
      ocrctl model import parseq-bb5792a6.pt --as parseq -o parseq.ckpt
      ocrctl model import craft_mlt_25k.pth --as craft -o craft.ckpt
    """
    from ocrctl.core.model.import_weights import import_weights

    imported = import_weights(file, arch, charset, out, console.stage)
    if json:
        console.write_json(imported)
        return
    if imported.note:
        console.note(f"note: charset {imported.note}")
    charset_part = f", {counted(len(imported.card.charset), 'character')}" if imported.card.charset else ""
    console.write(f"{imported.path}: {imported.description}, {imported.parameters:,} parameters{charset_part}")
    console.suggest(predict_command(imported.path, imported.card.task, plugin))


@app.command("cut")
def cut(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Recogniser: checkpoint, run folder, published file or default:NAME.")
    ],
    charset: Annotated[
        str,
        typer.Option(
            "--charset",
            metavar="FILE",
            help="Characters to keep: a file, or a built-in charset: digits, lower36, ascii94, ascii95 or latin.",
            rich_help_panel=MODEL,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="CKPT", help="Checkpoint to write, such as latin.ckpt.", rich_help_panel=OUTPUT
        ),
    ],
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep only some characters of a recogniser: a smaller model that cannot confuse them with the others.

    Other weights stay as they are, and no training is needed.

    \b
    Examples:
      ocrctl model cut default:rec --charset latin -o latin.ckpt
    """
    check_models([model])
    from ocrctl.core.model.cut import cut_charset

    done = cut_charset(model, charset, out, console.stage)
    if json:
        console.write_json(done)
        return
    if done.note:
        console.note(f"note: charset {done.note}")
    console.write(
        f"{done.path}: {len(done.card.charset)} of {done.characters_before:,} characters, {done.parameters:,} of "
        f"{done.parameters_before:,} parameters"
    )
    console.suggest(predict_command(done.path, done.card.task, plugin))
