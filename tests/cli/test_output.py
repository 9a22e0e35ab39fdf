"""What data names reaches terminals, tables and annotations without acting there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run
from ocrctl.errors import InputError

HOSTILE = "a\x1b[31m\x9b\u202e,:%\nx"
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Terminal:
    """A stdout or stderr of a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def as_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stdout and stderr as one terminal of 80 columns, without colour. In the test: pytest sets its own after setup."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return shown


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Words in a folder, an image and a label with controls: one is fine, one is unreadable, one label is too much."""
    folder = tmp_path / HOSTILE
    folder.mkdir()
    for name in ("fine", "twice"):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((20, 60, 3), 90, np.uint8))
    (folder / "b\x1b[2J.png").write_bytes(b"no image")
    lines = "fine.png\tab\ntwice.png\ta\x1b[31m\x9b\u202ed\nb\x1b[2J.png\txy\n"
    (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["dataset", "validate", "{}"],
        ["dataset", "validate", "{}", "--json"],
        ["dataset", "validate", "{}", "--github"],
        ["dataset", "validate", "{}", "--report", "{}/r.html"],
        ["dataset", "clean", "{}"],
        ["dataset", "stats", "{}"],
        ["dataset", "charset", "{}"],
        ["dataset", "charset", "{}", "--counts"],
        ["dataset", "convert", "{}", "{}/out", "--format", "mmocr-json"],
        ["lmdb", "build", "{}", "{}/lmdb", "--jobs", "1"],
        ["lmdb", "verify", "{}/none"],
        ["predict", "{}", "-m", "{}/none"],
        ["runs", "list", "{}"],
        ["profile", "show", "{}"],
        ["train", "{}"],
        ["train", "--set", "train.{}=1"],
        ["eval", "{}", "-d", "{}"],
        [HOSTILE],
        ["--" + HOSTILE],
    ],
)
def test_no_control_reaches_a_terminal(command: list[str], hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    run([word.format(hostile) for word in command])
    assert terminal.text and not ACTIVE.search(terminal.text), repr(terminal.text)
    assert not any(line.startswith("x/") for line in terminal.text.splitlines())  # from the line break of the folder


def test_predictions_do_not_act(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = as_terminal(monkeypatch)
    from ocrctl.core.predict import read as predict_read

    monkeypatch.setattr(
        predict_read.WordTask, "read",
        lambda self, batch: [
            predict_read.TaskResult(predict_read.Prediction(path, HOSTILE, 0.5)) for path, _ in batch
        ],
    )  # fmt: skip
    for name in ("tsv", "txt", "jsonl"):
        assert run(["predict", str(word_folder / "00.png"), "-m", str(tiny_checkpoint), "--format", name]) == 0
        assert not ACTIVE.search(terminal.text), repr(terminal.text)
    assert terminal.text.count("\\u202e") == 3


def test_errors_of_every_kind_do_not_act(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    monkeypatch.setenv("OCRCTL_DEBUG", "1")
    for error in (InputError(HOSTILE, hint=HOSTILE), ValueError(HOSTILE)):

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("ocrctl.core.profile.list_profiles", fail)
        run(["profile", "list"])
    assert "Traceback" in terminal.text and "bug in ocrctl" in terminal.text and not ACTIVE.search(terminal.text)
    assert "\nerror: a\\x1b[31m" in terminal.text and "\n  x" in terminal.text


def test_piped_tables_have_a_header_and_give_cells_back(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["name", "value"], [[HOSTILE, "\\n"], ["=1+1", 2]])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "name\tvalue" and len(rows) == 2
    back = [cell.encode("latin-1", "backslashreplace").decode("unicode_escape") for cell in rows[0].split("\t")]
    assert back == [HOSTILE, "\\n"] and rows[1] == "=1+1\t2"
    console.table(["only", "a header"], [])
    assert capsys.readouterr().out == "only\ta header\n"


def test_every_band_of_a_wide_table_repeats_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    values = [f"{number}.25 [{number}.00, {number}.50]" for number in range(10, 17)]
    rows = [[f"runs/{model}/best.ckpt", "iiit5k_test", "exact", *values] for model in ("a", "b")]
    console.table(["model", "data", "protocol", *(f"metric {i}" for i in range(7))], rows, keys=3)
    bands = terminal.text.split("\n\n")
    assert len(bands) > 1
    for band in bands:
        lines = band.splitlines()
        assert lines[0].split()[:3] == ["model", "data", "protocol"] and len(lines) == 3
        assert all("iiit5k_test" in line and "exact" in line for line in lines[1:])
        assert "runs/a/best.ckpt" in lines[1] and "runs/b/best.ckpt" in lines[2]
    assert all(value in terminal.text for value in values)
    assert max(map(len, terminal.text.splitlines())) <= 80
    terminal.text = ""
    console.table(["a", "b"], [])
    assert terminal.text == ""


@pytest.mark.parametrize("width", [60, 30])
def test_a_path_is_never_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(width))
    path = f"{'runs/deep/' * 9}best.ckpt"
    console.table(["model", "data", "CER %"], [[path, "x", "1.5"], [path + "2", "y", "2.5"]], keys=2)
    assert terminal.text.splitlines() == [
        f"model  {path}", "data   x", "CER %  1.5", "", f"model  {path}2", "data   y", "CER %  2.5"
    ]  # fmt: skip
    terminal.text = ""
    console.table(["count", "first"], [["1", f"a finding that is long enough for two lines: {path}"], ["22", path]])
    assert terminal.text.count(f"  {path}\n") == 2 and "lines:\n" in terminal.text


def test_wide_characters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    console.table(["read", "edits"], [["한국어", 1], ["e\u0301t\u0301", 2], ["abcdef", 3]])
    assert terminal.text.splitlines() == ["read    edits", "한국어  1", "e\u0301t\u0301      2", "abcdef  3"]
    terminal.text = ""
    console.table(["name", "text"], [["漢" * 20, "字字字字字 " * 8]])
    _, *row = terminal.text.splitlines()
    assert [line.split() for line in row] == [["漢" * 20, *["字字字字字"] * 3], ["字字字字字"] * 3, ["字字字字字"] * 2]
    assert all(sum(1 + (char in "漢字") for char in line) <= 80 for line in row)


def pages(folder: Path, words: int) -> Path:
    """One page with `words` words beyond its right side."""
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((60, 60, 3), 90, np.uint8))
    items = [
        {"transcription": "x", "points": [[50, y], [90, y], [90, y + 9], [50, y + 9]]}
        for y in np.linspace(0, 50, words).round(2).tolist()
    ]
    (folder / "Label.txt").write_text(f"a.png\t{json.dumps(items)}\n", encoding="utf-8")
    return folder


def test_annotations_say_what_they_leave_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pages(tmp_path / "a,b", 70)

    def printed(*more: str) -> list[str]:
        assert run(["dataset", "validate", str(folder), "--github", *more]) == 1
        return [line for line in capsys.readouterr().out.splitlines() if "title=P010 out-of-bounds" in line]

    lines = printed()
    assert len(lines) == 51 and lines[0].startswith("::error file=") and "a%2Cb/Label.txt,line=1,title=P010" in lines[0]
    assert lines[50] == (
        "::notice title=P010 out-of-bounds::20 more of 70 are not shown. To see all: ocrctl dataset validate "
        f"{folder} --github --limit 0"
    )
    assert len(printed("--limit", "0")) == 70
    assert "68 more of 70" in printed("--limit", "2")[2]
    assert run(["dataset", "validate", str(folder), "--github", "--json"]) == 2
    assert run(["dataset", "validate", str(folder), "--json", "--limit", "3"]) == 1
    code = json.loads(capsys.readouterr().out)["codes"][0]
    assert len(code["locations"]) == 3 and code["places"] == code["locations"]  # the name of 0.1.0


def test_clean_verify_and_gates_annotate_what_they_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pages(tmp_path / "pages", 2)
    assert run(["dataset", "clean", str(folder), "--github"]) == 1
    assert "::error title=dataset clean::clamped: out-of-bounds (2 to do), first: " in capsys.readouterr().out
    assert run(["dataset", "clean", str(folder), "--repair", "--github"]) == 1
    assert "::error title=dataset clean::2 errors remain; to list them: ocrctl " in capsys.readouterr().out
    assert run(["dataset", "clean", str(folder), "--clamp", "--github"]) == 0
    assert "::notice title=dataset clean::clamped: out-of-bounds (2 done)" in capsys.readouterr().out
    gate = ["--gt", str(folder), "--pred", f"paddleocr-det:{folder}", "--fail-under"]
    assert run(["eval", *gate, "hmean=100%", "--github"]) == 0
    assert "::error" not in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "res_a.txt").write_text("")
    assert (
        run(["eval", "--gt", str(folder), "--pred", str(tmp_path / "none"), "--fail-under", "hmean=1%", "--github"])
        == 1
    )
    assert "\n::error title=eval::hmean is 0.0000, at least 0.0100 is required\n" in capsys.readouterr().out


def test_faults_of_an_lmdb_are_annotated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import lmdb

    with lmdb.open(str(tmp_path / "bad"), map_size=1 << 20) as environment, environment.begin(write=True) as writing:
        writing.put(b"num-samples", b"60")
        for number in range(1, 61):
            writing.put(f"image-{number:09d}".encode(), b"no image")
            writing.put(f"label-{number:09d}".encode(), b"x")
    assert run(["lmdb", "verify", str(tmp_path / "bad"), "--jobs", "1", "--github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 51 and all(line.startswith("::error file=") for line in lines[:50])
    assert "not shown. To see all: ocrctl lmdb verify " in lines[50] and "--json" in lines[50]


def test_clean_with_nothing_to_do_says_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((60, 60, 3), 90, np.uint8))
    items = [{"transcription": "x", "points": [[5, 5], [40, 5], [40, 20], [5, 20]]}]
    (folder / "Label.txt").write_text(f"a.png\t{json.dumps(items)}\n")
    for flags in ([], ["--clamp"]):
        assert run(["dataset", "clean", str(folder), *flags]) == 0
        assert capsys.readouterr() == ("", "nothing to clean: 1 image and 1 instance, all kept\n")


def test_cells_for_a_spreadsheet_are_no_formulas(
    tiny_checkpoint: Path, tiny_detector: Path, page_folder: Path, word_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "=1+1.png").write_bytes((word_folder / "00.png").read_bytes())
    (tmp_path / "@a.png").write_bytes((page_folder / "img_0.png").read_bytes())
    words = ["predict", "=1+1.png", "-m", str(tiny_checkpoint)]
    pages = ["predict", "@a.png", "-m", str(tiny_checkpoint), "-m", str(tiny_detector), "--format", "tsv"]
    for command, start in ((words, "=1+1.png\t"), (pages, "@a.png\t")):
        for flags, mark in (([], ""), (["--spreadsheet-safe"], "'")):
            assert run([*command, *flags]) == 0
            assert capsys.readouterr().out.splitlines()[1].startswith(mark + start)
        assert run([*command, "-o", "out", "--spreadsheet-safe"]) == 0
        assert (tmp_path / "out" / "predictions.tsv").read_text().splitlines()[1].startswith("'" + start)
    assert run([*words, "--format", "txt", "--spreadsheet-safe"]) == 2
    assert "--spreadsheet-safe requires --format tsv" in capsys.readouterr().err
    (tmp_path / "rec_gt.txt").write_text("=1+1.png\t=\n")
    assert run(["dataset", "charset", ".", "--counts", "--spreadsheet-safe"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("'=\t")
    assert run(["dataset", "charset", ".", "--counts"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("=\t")


def test_the_console_alone_writes_what_data_names() -> None:
    """Elsewhere in the package only live lines (a carriage return first), fixed words and escaped texts go to a stream
    directly."""
    package = Path(console.__file__).parents[1]
    direct = re.compile(
        r"sys\.std(?:out|err)\.write\((?!f?\"\\r|\"interrupted\\n\"|error\.format_message\(\)|visible\(|json\.dumps\()|typer\.echo\("
    )
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        if path != Path(console.__file__)
        for line in path.read_text("utf-8").splitlines()
        if direct.search(line)
    ]
    assert found == []
