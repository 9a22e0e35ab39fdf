"""No help page, completion or data command may load torch and its like; help must be readable wherever it lands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "lightning",
    "numpy",
    "cv2",
    "onnxruntime",
    "onnx",
    "pydantic_settings",
    "pydantic",
    "lmdb",
    "shapely",
)
# What a data command may use; never the frameworks.
FRAMEWORKS = ("torch", "lightning", "onnxruntime", "onnx")
BLOCK = "import sys; sys.modules.update(dict.fromkeys({names!r}));"  # None there makes `import` raise


def fresh(code: str, *, blocked: tuple[str, ...] = HEAVY, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter where importing any of `blocked` fails."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(names=blocked) + code],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        timeout=120,
    )


def ocrctl(*arguments: str, blocked: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """One command line in its own process."""
    code = f"from ocrctl.cli.app import run; sys.exit(run({list(arguments)!r}))"
    return fresh(code, blocked=blocked, **environment)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The help page of every command, by its path, printed where nothing heavy can be imported."""
    code = """
import contextlib, io, json
from ocrctl.cli.app import run
from typer.main import get_command

from ocrctl.cli.app import app
from ocrctl.cli.command_line import command_paths
pages = {}
for path in [(), *command_paths(get_command(app))]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = run([*path, "--help"])
    assert code == 0, path
    pages[" ".join(path)] = text.getvalue()
loaded = [name for name in HEAVY if sys.modules.get(name) is not None]
print(json.dumps([pages, loaded, "rich" in sys.modules]))
"""
    done = fresh(f"HEAVY = {HEAVY!r}\n" + code, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    found, loaded, rich = json.loads(done.stdout)
    assert not loaded
    assert not rich, "a plain help page must not pay for rich"
    return found


def test_every_help_page_is_there(pages: dict[str, str]):
    assert {"", "train", "eval", "predict", "export", "import-timing", "lmdb build", "dataset charset"} <= set(pages)
    assert {"diagnose cuda", "diagnose environment", "profile list", "model list", "runs list"} <= set(pages)


def test_groups_say_what_each_command_does_in_whole_sentences(pages: dict[str, str]):
    for path in ("", "dataset", "diagnose", "lmdb", "model", "profile", "runs"):
        lines = pages[path].partition("Commands:\n")[2].splitlines()
        entries = " ".join(lines).replace("...", "CUT")
        assert lines and entries.rstrip().endswith(".") and "CUT" not in entries, path


def test_every_page_says_what_the_command_does(pages: dict[str, str]):
    for path, page in pages.items():
        assert page.startswith(f"Usage: {' '.join(['ocrctl', path]).strip()} ["), path
        first = page.split("\n\n")[1].strip()
        assert len(first) > 15 and first[0].isupper(), f"{path}: {first!r} says too little"
        assert "-h, --help" in page, path


def test_every_option_has_help(pages: dict[str, str]):
    for path, page in pages.items():
        for line in page.splitlines():
            if line.startswith("  -"):
                text = line.strip().split("  ", 1)
                assert len(text) == 2 or len(line) > 25, f"{path}: {line.strip()} has no help"


def test_the_root_page_shows_each_command_with_its_line(pages: dict[str, str]):
    listed = pages[""].partition("Commands:\n")[2]
    for path, page in pages.items():
        if path and " " not in path:
            line = next((row for row in listed.splitlines() if row.split()[:1] == [path]), "")
            assert line, path
            assert line.split(None, 1)[1].split()[:3] == page.split("\n\n")[1].split()[:3]


def test_short_flag_and_bare_groups():
    assert ocrctl("lmdb", "-h", blocked=HEAVY).stdout == ocrctl("lmdb", "--help", blocked=HEAVY).stdout
    for arguments in ((), ("lmdb",), ("profile",)):
        done = ocrctl(*arguments, blocked=HEAVY)
        assert done.returncode == 2 and done.stderr.startswith("Usage: ocrctl")


def test_the_real_entry_point():
    done = subprocess.run([sys.executable, "-m", "ocrctl", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Commands:" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [("ocrctl lm", "lmdb"), ("ocrctl lmdb in", "info"), ("ocrctl diagnose cuda --req", "--require")],
)
def test_completion_loads_nothing_heavy(line: str, expected: str):
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_OCRCTL_COMPLETE": "complete_bash"}
    done = fresh("from ocrctl.cli.app import main; main()", **environment)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str):
    done = fresh("from ocrctl.cli.app import main; main()", _OCRCTL_COMPLETE=f"source_{shell}")
    assert done.returncode == 0 and "_OCRCTL_COMPLETE" in done.stdout


@pytest.mark.parametrize("columns", ["40", "20"])
def test_a_narrow_terminal(columns: str):
    for arguments in ((), ("train",), ("lmdb", "build")):
        done = ocrctl(*arguments, "--help", blocked=HEAVY, COLUMNS=columns)
        assert done.returncode == 0, done.stderr
        if not arguments and columns == "40":
            assert max(map(len, done.stdout.splitlines())) <= int(columns) + 4  # the text column has a least width


def test_no_colour_and_no_terminal():
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}):
        for arguments in (("--help",), ("diagnose", "--help"), ("nonsense",)):
            done = ocrctl(*arguments, blocked=HEAVY, **environment)
            assert "\x1b" not in done.stdout + done.stderr


def test_a_typo_is_one_sentence_with_a_suggestion():
    done = ocrctl("trian", blocked=HEAVY)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "'train'" in done.stderr and "Traceback" not in done.stderr
    assert ocrctl("lmdb", "infoo", blocked=HEAVY).returncode == 2
    assert "--json" in ocrctl("diagnose", "cuda", "--jsn", blocked=HEAVY).stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently there")
@pytest.mark.parametrize("arguments", ["--help", "profile list", "import-timing --list"])
@pytest.mark.parametrize("unbuffered", ["", "-u"])
def test_a_closed_pipe_ends_silently(arguments: str, unbuffered: str):
    command = f'"{sys.executable}" {unbuffered} -m ocrctl {arguments} | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout.strip() == "0"


def test_profile_commands_run_without_numpy():
    for arguments in (("list",), ("show", "cpu"), ("check", "cpu"), ("list", "--json")):
        done = ocrctl("profile", *arguments, blocked=("numpy", "cv2", *FRAMEWORKS))
        assert done.returncode == 0, done.stderr


def test_data_commands_run_without_torch(tmp_path: Path):
    picture = tmp_path / "word_1.png"
    code = f"import cv2, numpy; cv2.imwrite({str(picture)!r}, numpy.full((32, 100, 3), 200, numpy.uint8))"
    assert fresh(code, blocked=()).returncode == 0
    labels = tmp_path / "rec_gt.txt"
    labels.write_text("word_1.png\tJOINT\n", encoding="utf-8")
    out = tmp_path / "lmdb"
    for arguments in (
        ("dataset", "charset", str(labels)),
        ("lmdb", "build", str(labels), str(out)),
        ("lmdb", "info", str(out)),
        ("lmdb", "verify", str(out)),
        ("dataset", "charset", str(out)),
    ):
        done = ocrctl(*arguments, blocked=FRAMEWORKS)
        assert done.returncode == 0, (arguments, done.stderr)
