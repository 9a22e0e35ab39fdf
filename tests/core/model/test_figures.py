"""`model list` and `info`: parameters, FLOPs, grid, steps, and the latency on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ocrctl.cli.app import run
from ocrctl.core.model import info
from ocrctl.core.model import measure as core
from ocrctl.core.model.figures import built_in_figures
from ocrctl.core.model.measure import default_card, latency, median_ms, model_figures
from ocrctl.models.registry import get_spec, specs


def test_flops_are_those_of_the_layers_added_up() -> None:
    found = model_figures(default_card(get_spec("crnn-tiny")))
    assert found.parameters == 491_333
    shapes = [(1, 32, 9, 16, 50), (32, 64, 9, 8, 25), (64, 64, 9, 8, 25), (64, 128, 9, 4, 25), (128, 128, 9, 2, 25),
              (128, 128, 2, 1, 25)]  # fmt: skip
    convolutions = sum(2 * before * after * kernel * rows * columns for before, after, kernel, rows, columns in shapes)
    lstm = 2 * 2 * 4 * 96 * (128 + 96) * 25  # two directions of four gates over 25 steps
    assert found.flops == convolutions + lstm + 2 * 2 * 96 * 37 * 25
    assert (found.height, found.width, found.channels) == (32, 100, 1)
    assert (found.grid, found.steps) == ((1, 25), 25) and found.latency_ms is None


def test_the_file_of_the_package_holds_what_is_counted() -> None:
    counted = {name: model_figures(default_card(spec)) for name, spec in specs().items()}
    assert built_in_figures() == counted, "write the file anew: python .ci/model_figures.py"


def test_each_kind_of_model_has_a_grid_and_steps() -> None:
    parseq = model_figures(default_card(get_spec("parseq-tiny")))
    assert (parseq.grid, parseq.steps) == ((8, 16), 26)
    kept = model_figures(default_card(get_spec("svtrv2-tiny")))
    assert (kept.height, kept.width, kept.grid, kept.steps) == (32, 128, (4, 32), 32)
    detector = model_figures(default_card(get_spec("pan")))
    assert (detector.grid, detector.steps, detector.height) == ((160, 160), None, 640) and detector.flops > 1e9
    twice = model_figures(default_card(get_spec("crnn-tiny", 200)))
    assert twice.flops == 2 * model_figures(default_card(get_spec("crnn-tiny"))).flops


def test_the_latency_is_the_median_and_an_autoregressive_model_reads_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 0, 1, 1, 1, 4, 4, 4, 6, 6])  # start, then begin, end and the check of each run
    monkeypatch.setattr(core.time, "perf_counter", lambda: next(clock))
    assert median_ms(lambda: None) == 2000
    monkeypatch.undo()
    lengths: list[int] = []
    found = core._never_end

    def watched(model: torch.nn.Module) -> None:
        found(model)  # type: ignore[arg-type]
        generate = model.generate  # type: ignore[operator]
        model.generate = lambda images: lengths.append(generate(images)["logits"].shape[1])  # type: ignore[operator]

    monkeypatch.setattr(core, "_never_end", watched)
    monkeypatch.setattr(core, "RUNS", 1)
    assert latency(default_card(get_spec("parseq-tiny"))) > 0
    assert set(lengths) == {26}


def test_the_commands_show_them(
    tiny_checkpoint: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = {name: get_spec(name) for name in ("crnn-tiny", "pan")}
    monkeypatch.setattr(info, "specs", lambda: some)
    monkeypatch.setattr(core, "RUNS", 1)
    assert run(["model", "list", "--measure", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert [one["arch"] for one in figures] == list(some) and all(one["latency_ms"] > 0 for one in figures)
    assert run(["model", "list"]) == 0
    table = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    start = table.index(["arch", "task", "parameters", "GFLOPs", "input", "grid", "steps", "description"])
    assert table[start + 1][2:7] == ["491,333", "0.0627", "32x100x1", "1x25", "25"]
    for model in (tiny_checkpoint, tiny_onnx):
        assert run(["model", "info", str(model), "--measure"]) == 0
        out = capsys.readouterr().out
        assert "one image of 32x100x1: 0.0627 GFLOPs, features 1x25, 25 output steps" in out
        assert "latency: " in out and " ms an image on this machine's CPU" in out
    assert run(["model", "info", str(tiny_checkpoint)]) == 0
    assert "latency" not in capsys.readouterr().out
