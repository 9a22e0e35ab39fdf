"""Progress bars: on a terminal alone, erased at the end, above them what is printed meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocrctl.cli.progress import progress_text

pty = pytest.importorskip("pty")

BAR = """
import sys, time
from ocrctl.cli import console
from ocrctl.cli.progress import ProgressBar
with ProgressBar("images") as progress:
    for done in range(15):
        progress(done, 14)
        time.sleep(0.1)
        if done == 11:
            console.warn("unreadable: a.png")
console.note("rich" if "rich" in sys.modules else "plain")
"""


def on_terminal(code: str, columns: int = 80, **environment: str) -> str:
    """What `code` writes to a terminal of that width, stdout and stderr together."""
    main, side = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
    running = subprocess.Popen([sys.executable, "-c", code], stdin=side, stdout=side, stderr=side, env=variables)
    os.close(side)
    written = b""
    try:
        while block := os.read(main, 1 << 16):
            written += block
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(main)
    assert running.wait(60) == 0, written
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that stay: what is erased or overwritten is gone."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r" and not part.startswith("\x1b"):
            lines[row] += part
    return [line for line in lines if line]


def test_a_bar_shows_share_rate_and_time_left_and_leaves_nothing() -> None:
    written = on_terminal(BAR)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert re.search(r"━+ 1\d/14 images  \d+%  [\d.]+/s  0:0\d left", drawn), drawn
    assert screen(written) == ["unreadable: a.png", "rich"]
    assert "\x1b[?25h" in written.rpartition("\x1b[?25l")[2], "the cursor is back"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_bar_where_the_terminal_takes_no_live_output(environment: dict[str, str]) -> None:
    assert on_terminal(BAR, **environment).split("\r\n") == ["unreadable: a.png", "plain", ""]


def test_no_bar_in_a_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "unreadable: a.png\nplain\n")


@pytest.mark.parametrize("columns", [20, 40, 120])
def test_a_bar_is_one_line_of_any_terminal(columns: int) -> None:
    written = on_terminal(BAR, columns)
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", written)]
    assert any("images"[:3] in line for line in drawn)
    assert max(map(len, drawn)) <= columns
    assert screen(written) == ["unreadable: a.png", "rich"]


def test_the_text_beside_a_bar() -> None:
    assert progress_text(1200, 5000, 34.6, "images") == "1,200/5,000 images  24%  35/s  1:50 left"
    assert progress_text(3, 4, 0.05, "models") == "3/4 models  75%  3.0/min  0:20 left"
    assert progress_text(7, None, 2.5, "images") == "7 images  2.5/s"
    assert progress_text(0, 0, 0.0, "images") == "0/0 images  0%  0.0/min  -:-- left"
    assert progress_text(1, 10**6, 20.0, "words").endswith("20/s  13:53:20 left")


LONG = """
import sys
from ocrctl.cli import progress
progress._DELAY = progress._INTERVAL = 0.0  # as if every sample took half a second
from ocrctl.cli.app import run
sys.exit(run({arguments!r}))
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve word images in a folder, and beside it a list of three, a ground truth and a result."""
    from ocrctl.cli.app import run

    folder = tmp_path_factory.mktemp("progress") / "words"
    assert run(["dataset", "synth", str(folder), "--count", "12"]) == 0
    images = sorted(path.name for path in folder.rglob("*") if path.suffix in (".png", ".jpg"))
    (folder.parent / "list.txt").write_text("".join(f"{name}\n" for name in images[:3]))
    for side, prefix in (("gt", "gt_"), ("res", "res_")):
        (folder.parent / side).mkdir()
        (folder.parent / side / f"{prefix}img_1.txt").write_text("0,0,40,0,40,10,0,10,word\n")
    return folder


@pytest.mark.parametrize(
    ("command", "unit"),
    [
        ("dataset synth {out} --count 12", "words"),
        ("dataset convert {words} {out} --format mmocr-json", "images"),
        ("predict {words} -m {model} --batch-size 1 --jobs 0", "images"),
        pytest.param("export {model} -o {out} --verify {words}", "samples", marks=pytest.mark.slow),
        pytest.param("export {model} -o {out}", "steps", marks=pytest.mark.slow),
        ("dataset split {words} {out} --list {words}/../list.txt", "images"),
        ("dataset clean {words} --remove-bad --out {out}", "images"),
        ("eval --gt {words}/../gt --pred {words}/../res", "steps"),
        ("train crnn -d {words} --val {words} -o {out} --set train.max_steps=4 --set train.batch_size=2 "
         "--set data.workers=0 --set train.log_every_steps=1", "steps"),
    ],
)  # fmt: skip
def test_long_operations_have_a_bar(
    command: str, unit: str, words: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = [word.format(out=tmp_path / "out", words=words, model=tiny_checkpoint) for word in command.split()]
    written = on_terminal(LONG.format(arguments=arguments))
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert re.search(rf"━ [\d,]+/[\d,]+ {unit}  \d+%  [\d.,]+/(s|min)  [\d:-]+ left", drawn), drawn
    assert not any(" left" in line and "━" in line for line in screen(written)), "the bar is erased"
