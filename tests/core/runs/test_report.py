"""`runs show --report` and `runs compare --report`: one page with curves, settings, events and previews."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.inference.writers.report.line_chart import MAX_POINTS, Axis, Line, line_chart, ticks

SECTIONS = "".join(f"[{name}]\n" for name in ("data", "synth", "page", "model", "log"))
WORDS = "step,samples,seconds,lr,loss,val_exact,val_str36,val_cer,val_empty,images_per_second,skipped\n"
PAGES = "step,samples,seconds,lr,loss,val_hmean,val_precision,val_recall,images_per_second,skipped\n"


def folder(path: Path, metrics: str, rate: str = "0.001") -> Path:
    path.mkdir(parents=True)
    (path / "config.toml").write_text(f"arch = 'crnn'\nseed = 0\n[train]\nlr = {rate}\n{SECTIONS}")
    (path / "metrics.csv").write_text(metrics)
    return path


def word_rows(best: float) -> str:
    logs = [f"{step},{step},{step / 2},0.001,{20 / step},,,,,120,\n" for step in range(1, 41)]
    logs[9] = "10,10,5,0.001,nan,,,,,120,1\n"
    goals = {20: best / 2, 30: best, 40: best / 3}
    for step, value in goals.items():
        logs[step - 1] += f"{step},{step},{step / 2},,,{value},{value},{1 - value},0.25,,\n"
    return WORDS + "".join(logs)


def preview(path: Path, size: int = 20, noise: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    image = np.full((size, size, 3), 200, np.uint8)
    if noise:
        image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    cv2.imwrite(str(path), image)


def charts(page: str) -> dict[str, ET.Element]:
    """The drawing below each caption."""
    found = re.findall(r"<figure><figcaption>(.*?)</figcaption>(<svg.*?</svg>)", page)
    return {caption: ET.fromstring(drawing) for caption, drawing in found}


def missing(page: str, *texts: str) -> list[str]:
    """The texts that the page lacks; comparing the page itself would print all of it."""
    return [text for text in texts if text not in page]


def lines(chart: ET.Element) -> list[list[tuple[float, ...]]]:
    return [
        [tuple(map(float, corner.split(","))) for corner in line.attrib["points"].split()]
        for line in chart.iter("polyline")
    ]


def test_figures_of_the_model_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = "step,samples,seconds,lr,loss,val_exact,val_new,points_outside,offset_gradient,skipped\n"
    rows = "10,10,1,0.1,2.5,,,0.4,0.02,1\n20,20,2,0.1,2.1,,,0.2,0.03,\n20,20,2,,,0.5,0.7,,,\n"
    for name in ("a", "b"):
        folder(tmp_path / name, header + rows)
    assert run(["runs", "show", str(tmp_path / "a"), "--report", str(tmp_path / "one.html")]) == 0
    found = charts((tmp_path / "one.html").read_text("utf-8"))
    assert list(found) == ["loss", "learning rate", "accuracy, %", "val_new", "offset_gradient", "points_outside"]
    (curve,) = lines(found["points_outside"])
    assert len(curve) == 2 and curve[0][1] < curve[1][1]  # 0.4, then 0.2: down
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert run(["runs", "compare", *both, "--report", str(tmp_path / "both.html")]) == 0
    found = charts((tmp_path / "both.html").read_text("utf-8"))
    assert len(lines(found["points_outside"])) == 2 and "skipped" not in found


def test_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "<b>run", word_rows(0.6), "0.003")
    preview(path / "previews" / "step-0000020.png")
    preview(path / "previews" / "step-0000030.png")
    preview(path / "previews" / "step-0000040.png", 700, noise=True)
    (path / "quarantine" / "step-0000010").mkdir(parents=True)
    general = {"dataset": "other", "metric": "exact", "before": 0.84, "after": 0.7}
    (path / "forgetting.json").write_text(json.dumps({"general": general}))
    assert run(["runs", "show", str(path), "--report", str(tmp_path / "page.html")]) == 0
    assert "report: " in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text("utf-8")
    found = charts(page)
    assert list(found) == [
        "loss, logarithmic", "learning rate", "accuracy, %", "CER, %", "empty predictions, %", "images/s",
    ]  # fmt: skip
    before, after = lines(found["loss, logarithmic"])  # a row without a loss interrupts the curve
    assert (len(before), len(after)) == (9, 30)
    assert len(lines(found["accuracy, %"])) == 2 and len(lines(found["CER, %"])) == 1
    titles = [title.text for title in found["accuracy, %"].iter("title")]
    assert "exact, step 30: 60 (best)" in titles and "exact, step 40: 20" in titles
    page = page.replace("<wbr>", "")  # where a narrow column breaks a name
    assert missing(page, "60.00 %", "best exact, at step 30", "step 30</figcaption>", "&lt;b&gt;run") == []
    assert missing(page, "step 20</figcaption>", "<b>run", "train.batch_size") == [
        "step 20</figcaption>", "<b>run", "train.batch_size",
    ]  # fmt: skip  # previews of the best and the last validation, settings that are not defaults
    assert re.findall(r"<td[^>]*>(train\.lr)</td><td[^>]*>(\S+)</td><td[^>]*>(\S+)</td>", page) == [
        ("train.lr", "0.003", "0.001")
    ]
    assert missing(page, "Steps skipped because", "Step 10 is in quarantine") == []
    assert missing(page, "other: exact 84.00 % before the run, 70.00 % after it.") == []
    assert re.findall(r'src="data:image/(\w+);base64,', page) == ["png", "jpeg"]


def test_labels_can_be_read_on_a_phone(tmp_path: Path) -> None:
    """A chart shrinks with the page, and its text with it; long names of settings break after a dot or underscore."""
    path = folder(tmp_path / "run", word_rows(0.6), "0.003")
    assert run(["runs", "show", str(path), "--report", str(tmp_path / "page.html"), "-q"]) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    width = float(charts(page)["learning rate"].attrib["viewBox"].split()[2])
    found = re.search(r"@media \(max-width: 560px\) \{.*?svg text \{ font-size: (\d+)px", page)
    assert found is not None and float(found[1]) * 330 / width > 9  # pixels; 330 are a figure's inner width on a phone
    assert "<td>train.<wbr>lr</td>" in page


def test_settings_are_shown_as_they_are_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "run", word_rows(0.6), "0.003")
    config = path / "config.toml"
    config.write_text(config.read_text("utf-8").replace("[data]\n", '[data]\ntrain = ["words", "more"]\n'), "utf-8")
    assert run(["runs", "show", str(path)]) == 0
    assert "data.train\twords,more\t-\n" in capsys.readouterr().out


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", word_rows(0.5))
    preview(path / "previews" / "step-0000040.png")
    assert run(["runs", "show", str(path), "--report", str(tmp_path / "page.html"), "-q"]) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)|https?:|@import', page)
    without_script = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert charts(without_script).keys() == charts(page).keys() != set()


def test_a_comparison_draws_all_runs_and_only_the_settings_that_differ(tmp_path: Path) -> None:
    first, second = (
        folder(tmp_path / "a" / "run", word_rows(0.5)),
        folder(tmp_path / "b" / "run", word_rows(0.9), "0.1"),
    )
    preview(second / "previews" / "step-0000030.png")
    assert run(["runs", "compare", str(first), str(second), "--report", str(tmp_path / "page.html"), "-q"]) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    found = charts(page)
    assert {"exact, %", "str36, %", "exact by minutes of training, %"} <= set(found)
    assert all(len(lines(found[name])) == 2 for name in ("exact, %", "CER, %", "exact by minutes of training, %"))
    assert {f"{tmp_path / 'a' / 'run'}, step 30: 50 (best)", f"{tmp_path / 'b' / 'run'}, step 30: 90 (best)"} <= {
        title.text for title in found["exact, %"].iter("title")
    }  # equal names are told apart by their paths
    assert re.findall(r"<td>(train\.\w+|arch|seed)</td>", page.replace("<wbr>", "")) == ["train.lr"]
    assert missing(page, "<td>0.001</td><td>0.1</td>", f"{second}, step 30</figcaption>") == []


def test_json_holds_what_json_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "a", word_rows(0.5))
    for command in (["show", str(path)], ["compare", str(path), str(path)]):
        assert run(["runs", *command, "--report", str(tmp_path / "report.json"), "--json", "-q"]) == 0
        assert json.loads((tmp_path / "report.json").read_text()) == json.loads(capsys.readouterr().out)
        assert run(["runs", *command, "--report", str(tmp_path / "report.txt")]) == 2


def test_detectors_and_runs_without_a_validation(tmp_path: Path) -> None:
    pages = folder(tmp_path / "pages", PAGES + "5,10,2,0.1,3,,,,1.5,\n5,10,3,,,0.4,0.5,0.3,,\n")
    new = folder(tmp_path / "new", WORDS + "5,10,2,0.1,3,,,,,1.5,\n")
    empty = folder(tmp_path / "empty", "")
    for path, said in ((pages, "40.00 %"), (new, "no validation yet"), (empty, "no validation yet")):
        assert run(["runs", "show", str(path), "--report", str(tmp_path / "page.html"), "-q"]) == 0
        assert missing((tmp_path / "page.html").read_text("utf-8"), said) == []
    assert run(["runs", "show", str(pages), "--report", str(tmp_path / "page.html"), "-q"]) == 0
    assert "hmean, precision, recall, %" in charts((tmp_path / "page.html").read_text("utf-8"))


def test_a_damaged_preview_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", word_rows(0.5))
    preview(path / "previews" / "step-0000040.png")
    (path / "previews" / "step-0000030.png").write_bytes(b"\x89PNG cut off")
    (path / "previews" / "notes.png").write_bytes(b"")
    assert run(["runs", "show", str(path), "--report", str(tmp_path / "page.html"), "-q"]) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert missing(page, "step-0000030.png cannot be shown") == [] and page.count("data:image/png") == 1


def test_a_long_curve_keeps_its_spikes() -> None:
    points = [(float(step), 1000.0 if step == 7777 else 1.0 + step % 2) for step in range(20_000)]
    axis = Axis("loss", lambda value: f"{value:g}")
    drawn = ET.fromstring(line_chart([Line("a", points)], Axis("step", lambda value: f"{value:g}"), axis))
    assert sum(len(line) for line in lines(drawn)) <= MAX_POINTS + 2
    assert "a, step 7777: 1000" in {title.text for title in drawn.iter("title")}


def test_equal_and_single_values_have_an_axis() -> None:
    axis = Axis("value", lambda value: f"{value:g}", low=0.0, high=1.0)
    for points in ([(1.0, 0.0)], [(1.0, 1.0), (2.0, 1.0)], [(1.0, 0.5), (1.0, 0.5)]):
        drawn = ET.fromstring(line_chart([Line("a", points)], Axis("step", str), axis))
        assert all(0 <= float(dot.attrib["cy"]) <= 240 for dot in drawn.iter("circle"))
    assert line_chart([Line("a", [(1.0, float("nan"))])], axis, axis) == '<p class="soft">No values.</p>'


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 20_000), (0.0012, 0.0013), (-5, 5), (99.5, 100)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    steps = {round(b - a, 12) for a, b in pairwise(found)}
    assert 2 <= len(found) <= 11 and min(found) >= low and max(found) <= high and len(steps) == 1
    assert re.fullmatch(r"[125]0*(\.0)?|0\.0*[125]", f"{steps.pop():.10f}".rstrip("0").rstrip(".")) is not None
