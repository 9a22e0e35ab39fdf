"""The importtime tree, the medians, and what budgets and baselines decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrctl.core import import_timing as core
from ocrctl.diagnose import imports
from ocrctl.errors import InputError, UsageError

TRACE = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     inner
import time:        50 |        150 |   middle
import time:        10 |         10 |   small
import time:        40 |        200 | outer
something a module printed
import time:         5 |          5 | last
"""


def test_the_tree_is_rebuilt_from_the_trace():
    tree = imports.parse_importtime("x", TRACE.splitlines())
    assert [child.name for child in tree.children] == ["outer", "last"]
    assert [child.name for child in tree.children[0].children] == ["middle", "small"]
    assert tree.children[0].children[0].children[0].self_us == 100
    assert tree.cumulative_us == 205
    assert sum(node.self_us for node in tree.walk()) == 205  # every microsecond once


def test_a_real_tree_adds_up():
    tree = imports.import_tree(imports.Target("json", "module", ("-c", "import json")))
    names = {node.name for node in tree.walk()}
    assert "json.decoder" in names
    assert sum(node.self_us for node in tree.walk()) == pytest.approx(tree.cumulative_us, rel=0.05, abs=200)


def test_measure_takes_medians_in_turn_and_reports_failures():
    calls = []
    times = {"a": iter([9.0, 1.0, 5.0, 3.0])}  # the first is the unmeasured one

    def timer(arguments):
        calls.append(arguments[-1])
        if arguments[-1] == "broken":
            return 0.1, "ImportError: no libfoo"
        return (next(times["a"]), "") if arguments[-1] == "a" else (0.5, "")

    targets = [imports.Target("a", "module", ("a",)), imports.Target("b", "module", ("broken",))]
    bare, samples = imports.measure(targets, 3, timer)
    assert bare == 0.5
    assert samples[0].seconds == 3.0
    assert samples[1].seconds is None and samples[1].failure == "ImportError: no libfoo"
    assert calls[-6:] == ["pass", "a"] * 3


def test_run_once_tells_why_it_failed():
    assert imports.run_once(("-c", "pass"))[1] == ""
    assert "gone" in imports.run_once(("-c", "raise ImportError('gone')"))[1]


@pytest.fixture
def fake_measure(monkeypatch):
    def measure(targets, runs, progress=None):
        seconds = {"ocrctl": 0.1, "ocrctl lmdb info": 0.3, "torch": 2.0}
        return 0.02, [imports.Sample(target, seconds.get(target.name, 0.1)) for target in targets]

    monkeypatch.setattr(core, "measure", measure)


def verdicts(result):
    return {row.name: row.verdict for row in result.timings}


def test_budgets_own_before_shipped(fake_measure):
    result = core.import_timing(
        [("lmdb",), ("lmdb", "info")], only=["ocrctl lmdb", "lmdb *", "torch"], budgets={"lmdb info": 12.0}
    )
    assert verdicts(result) == {"ocrctl lmdb": "ok", "ocrctl lmdb info": "over budget", "torch": "ok"}
    assert [row.name for row in result.failures] == ["ocrctl lmdb info"]
    assert core.import_timing([("lmdb", "info")], only=["lmdb info"]).timings[0].budget == 16.0


def test_baseline_is_saved_and_compared(fake_measure, tmp_path: Path):
    saved = tmp_path / "base.json"
    core.import_timing([], only=["ocrctl", "torch"], save=saved)
    assert verdicts(core.import_timing([], only=["ocrctl"], baseline=saved)) == {"ocrctl": "ok"}
    ratios = json.loads(saved.read_text())
    ratios["ratios"]["ocrctl"] = 3.0
    saved.write_text(json.dumps(ratios))
    assert verdicts(core.import_timing([], only=["ocrctl"], baseline=saved))["ocrctl"] == "slower than the baseline"
    assert verdicts(core.import_timing([], only=["ocrctl"], baseline=saved, tolerance=1.0))["ocrctl"] == "ok"


def test_unknown_names_are_usage_errors(fake_measure):
    with pytest.raises(UsageError, match="Did you mean 'torch'"):
        core.import_timing([], only=["torhc"])
    with pytest.raises(UsageError, match="No target 'tensorflow'"):
        core.import_timing([], budgets={"tensorflow": 3.0})
    for pair in ("torch", "torch=", "=3", "torch=-1", "torch=nan"):
        with pytest.raises(UsageError, match="NAME=RATIO"):
            core.parse_budgets([pair])
    assert core.parse_budgets(["a=1.5", "lmdb info=2"]) == {"a": 1.5, "lmdb info": 2.0}


def test_bad_baseline_files_are_input_errors(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read"):
        core.load_baseline(tmp_path / "none.json")
    for text in ("", "[]", "{}", '{"ratios": []}', '{"ratios": {"a": "x"}}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match="not a file that import-timing --save wrote"):
            core.load_baseline(tmp_path / "bad.json")


def test_modules_not_installed_are_left_out(monkeypatch):
    monkeypatch.setitem(imports.HEAVY_MODULES, "no_such_module_here", "no_such_module_here")
    names = [target.name for target in imports.module_targets()]
    assert "torch" in names and "no_such_module_here" not in names
    code = "import sys; from ocrctl.diagnose.imports import module_targets as m; m(); assert 'torch' not in sys.modules"
    assert imports.run_once(("-c", code))[1] == ""
