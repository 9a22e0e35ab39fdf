"""An evaluation as one HTML file that needs nothing else: style, script and images are inside it."""

from __future__ import annotations

import base64
from collections.abc import Callable

from ocrctl import __version__
from ocrctl.errors import counted
from ocrctl.inference.writers.report.parts import (
    bar,
    document,
    escape,
    length_chart,
    marked,
    percent,
    table,
    visible,
    with_range,
)
from ocrctl.metrics.evaluation import Evaluation, Result, WorstSample
from ocrctl.metrics.summary import LOWER_IS_BETTER, METRICS

HEADINGS = {"accuracy": "accuracy", "cer": "CER", "one_minus_ned": "1-NED", "empty_rate": "empty"}
NOTHING = '<span class="soft">(nothing)</span>'
SampleImage = Callable[[WorstSample], bytes]  # PNG of a worst sample


def render(evaluation: Evaluation, sample_image: SampleImage) -> str:
    """Render the report. `sample_image` is called once for each of the worst samples."""
    words = sum(item.samples for item in evaluation.datasets)
    sections = [
        _heads(evaluation),
        _results(evaluation),
        _differences(evaluation),
        _lengths(evaluation),
        _confusions(evaluation),
        _unknown(evaluation),
        _worst(evaluation, sample_image),
        _unreadable(evaluation),
    ]
    names = ", ".join(escape(item.spec) for item in evaluation.datasets)
    introduction = (
        f"{counted(words, 'word')} from {names}. {evaluation.resamples} bootstrap resamples, seed {evaluation.seed}, "
        f"intervals at 95 %. {evaluation.images_per_second:.0f} images/s. ocrctl {__version__}."
    )
    return document("ocrctl eval", "Word recognition", introduction, "".join(sections))


def _heads(evaluation: Evaluation) -> str:
    cards = []
    for model in evaluation.models:
        first = evaluation.overall(model.name, evaluation.protocols[0]).summary
        accuracy = first.metrics["accuracy"]
        others = ""
        for name in evaluation.protocols[1:]:
            value = evaluation.overall(model.name, name).summary.metrics["accuracy"]
            others += f'<div class="soft">{escape(name)} {with_range(value)}</div>'
        interval = "" if accuracy.low != accuracy.low else f" [{percent(accuracy.low)}, {percent(accuracy.high)}]"
        cards.append(
            f'<div class="head"><div class="name">{escape(model.name)}</div>'
            f"<strong>{percent(accuracy.value)} %</strong>{bar(accuracy)}"
            f"<div>words read right, <b>{escape(evaluation.protocols[0])}</b>{interval}</div>{others}"
            f'<div class="soft path">{escape(model.arch)}, {model.backend} on {model.device}, '
            f"{model.charset_size} characters<br>{escape(model.path)}</div></div>"
        )
    return f'<div class="heads">{"".join(cards)}</div>'


def _results(evaluation: Evaluation) -> str:
    rows = [
        [
            escape(item.model),
            escape(item.dataset),
            escape(item.summary.protocol),
            str(item.summary.samples),
            str(item.summary.left_out),
            *(with_range(item.summary.metrics[name]) for name in METRICS),
        ]
        for item in evaluation.results
    ]
    headers = ["model", "data", "protocol", "words", "left out", *(f"{HEADINGS[name]} %" for name in METRICS)]
    note = "Left out: ground truths in which the protocol keeps no character. Empty: predictions without one."
    return f"<h2>Results</h2><p class='soft'>{note}</p>{table(headers, rows, 3)}"


def _differences(evaluation: Evaluation) -> str:
    if not evaluation.differences:
        return ""
    rows = []
    for item in evaluation.differences:
        cells = []
        for name in METRICS:
            interval = item.metrics[name]
            text = with_range(interval, signed=True)
            if interval.excludes_zero:
                better = (interval.value > 0) != (name in LOWER_IS_BETTER)
                text = f'<span class="{"better" if better else "worse"}">{text}</span>'
            cells.append(text)
        rows.append(
            [f"{escape(item.after)} − {escape(item.before)}", escape(item.dataset), escape(item.protocol), *cells]
        )
    headers = ["later − earlier model", "data", "protocol", *(f"{HEADINGS[name]}, points" for name in METRICS)]
    note = (
        "Later minus earlier model: of accuracy and 1-NED + is better, of CER and empty − is. The same words for both, "
        "so the interval is of the difference. Coloured where it excludes zero."
    )
    return f"<h2>Paired differences</h2><p class='soft'>{note}</p>{table(headers, rows, 3)}"


def _overall(evaluation: Evaluation, protocol: str) -> list[Result]:
    return [evaluation.overall(model.name, protocol) for model in evaluation.models]


def _lengths(evaluation: Evaluation) -> str:
    figures = "".join(
        f"<figure><figcaption>{escape(protocol)}</figcaption>{length_chart(_overall(evaluation, protocol))}</figure>"
        for protocol in evaluation.protocols
    )
    rows = [
        [escape(result.model), escape(protocol), row.label, str(row.samples), percent(row.accuracy), percent(row.cer)]
        for protocol in evaluation.protocols
        for result in _overall(evaluation, protocol)
        for row in result.by_length
    ]
    numbers = table(["model", "protocol", "characters", "words", "accuracy %", "CER %"], rows, 3)
    return (
        f'<h2>By length</h2><p class="soft">Accuracy in percent by the length of the ground truth.</p>'
        f'<div class="pair">{figures}</div><details><summary>The numbers</summary>{numbers}</details>'
    )


def _confusions(evaluation: Evaluation) -> str:
    tables = []
    for result in _overall(evaluation, evaluation.protocols[0]):
        rows = [
            [visible(row.truth) or NOTHING, visible(row.prediction) or NOTHING, str(row.count)]
            for row in result.confusions[:12]
        ]
        if rows:
            tables.append(
                f'<div class="tight"><p><b>{escape(result.model)}</b></p>'
                f"{table(['ground truth', 'read as', 'times'], rows, 2)}</div>"
            )
    if not tables:
        return ""
    return f'<h2>Commonest confusions</h2><div class="pair">{"".join(tables)}</div>'


def _unknown(evaluation: Evaluation) -> str:
    if not evaluation.unknown:
        return ""
    parts = []
    for item in evaluation.unknown:
        chars = "".join(
            f"<span>{visible(char)} <span class='soft'>U+{ord(char):04X} × {count}</span></span>"
            for char, count in list(item.counts.items())[:60]
        )
        more = f"<p class='soft'>and {len(item.counts) - 60} more</p>" if len(item.counts) > 60 else ""
        parts.append(
            f"<p><b>{escape(item.model)}</b>, {escape(item.protocol)}: {counted(item.labels, 'word')} "
            f"({percent(item.share)} %) with characters that it cannot write, counted as errors.</p>"
            f"<div class='chars'>{chars}</div>{more}"
        )
    return f"<h2>Characters outside the charset</h2>{''.join(parts)}"


def _worst(evaluation: Evaluation, sample_image: SampleImage) -> str:
    if not evaluation.worst:
        return ""
    cards = []
    for item in evaluation.worst:
        truth, prediction = marked(item.truth, item.prediction)
        data = base64.b64encode(sample_image(item)).decode()
        kind = "empty" if not item.prediction else "case" if item.truth.lower() == item.prediction.lower() else "wrong"
        searched = " ".join(escape(text.lower()) for text in (item.truth, item.prediction, item.where))
        cards.append(
            f'<article class="sample" data-model="{escape(item.model)}" data-kind="{kind}" '
            f'data-dataset="{escape(item.dataset)}" data-text="{searched}">'
            f'<div class="image"><img src="data:image/png;base64,{data}" alt=""></div>'
            f"<dl><dt>truth</dt><dd>{truth}</dd><dt>read</dt><dd>{prediction}</dd></dl>"
            f"<footer>{escape(item.model)}: {item.edits} edits, confidence {item.confidence:.2f}<br>"
            f"{escape(item.where)}</footer></article>"
        )
    models = "".join(f"<option>{escape(model.name)}</option>" for model in evaluation.models)
    datasets = "".join(f"<option>{escape(item.name)}</option>" for item in evaluation.datasets)
    return (
        f"<h2>Worst samples</h2><p class='soft'>Wrong under {escape(evaluation.protocols[0])}, furthest from the "
        "ground truth first. ␣ is a space.</p>"
        '<div class="filter"><input id="find" type="search" placeholder="Text or file" aria-label="Text or file">'
        f'<select id="model" aria-label="Model"><option value="">every model</option>{models}</select>'
        f'<select id="dataset" aria-label="Data"><option value="">all data</option>{datasets}</select>'
        '<select id="kind" aria-label="Kind"><option value="">every kind</option><option value="wrong">other text'
        '</option><option value="case">case only</option><option value="empty">nothing read</option></select>'
        f'<span id="shown" class="soft"></span></div><div class="samples">{"".join(cards)}</div>'
    )


def _unreadable(evaluation: Evaluation) -> str:
    if not evaluation.unreadable:
        return ""
    lines = "".join(f"<li>{escape(item.dataset)}: {escape(item.error)}</li>" for item in evaluation.unreadable[:200])
    return f"<h2>Unreadable samples</h2><p>{len(evaluation.unreadable)}, in no number above.</p><ul>{lines}</ul>"
