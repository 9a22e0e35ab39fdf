"""Format plug-ins: by file, by entry point, and the worked example of docs/how-to/add-a-format.md, run as written."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import ocrctl
from ocrctl.cli.app import run
from ocrctl.config.plugins import use_plugins
from ocrctl.data.formats import _plugins, detect
from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.errors import InputError, UsageError

DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-format.md"
WORDS = """
from ocrctl.data.lmdb.word_source import FolderWords
NAME = "dashes"
LABEL_FILES = ("*.dash",)
def sniff(path):
    return "--" in path.read_text(errors="replace")[:100]
def read(path):
    pairs = [line.split("--") for line in path.read_text().splitlines()]
    return FolderWords(str(path), str(path.parent), [a for a, b in pairs], [b for a, b in pairs])
def write(samples, out):
    lines = []
    for number, (data, label) in enumerate(samples):
        (out / f"{number}.png").write_bytes(data)
        lines.append(f"{number}.png--{label}\\n")
    (out / "x.dash").write_text("".join(lines))
    return out / "x.dash"
"""


def example(folder: Path) -> Path:
    """The plug-in of the page, as a file."""
    found = re.search(r"<!-- plug-in: (\S+) -->\n```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (folder / found[1]).write_text(found[2], encoding="utf-8")
    return folder / found[1]


def labels(folder: Path) -> Path:
    """Two pages, one without words."""
    (folder / "img").mkdir(parents=True)
    for name in "ab":
        noise = np.random.default_rng(ord(name)).integers(0, 256, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / "img" / f"{name}.png"), noise)
    (folder / "Label.txt").write_text(
        'img/a.png\t[{"transcription": "an, \\"ox\\"", "points": [[1, 2], [30, 2], [30, 9.5], [1, 9.5]]},'
        ' {"transcription": "###", "points": [[1, 20], [30, 20], [30, 29], [1, 29]]}]\nimg/b.png\t[]\n'
    )
    return folder


def test_the_example_of_the_page_validates_and_converts_both_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, pages = str(example(tmp_path)), labels(tmp_path / "pages")
    out, back = tmp_path / "out", tmp_path / "back"
    command = ["dataset", "convert", "--plugin", plugin]
    assert run([*command, str(pages), str(out), "--format", "boxes-csv"]) == 0
    assert f"--plugin {plugin}" in capsys.readouterr().err
    assert (out / "boxes.csv").read_text().splitlines()[1] == 'images/img/a.png,1.0,2.0,30.0,9.5,"an, ""ox"""'
    assert run(["dataset", "validate", str(out), "--plugin", plugin]) == 0
    assert run([*command, f"boxes-csv:{out}", str(back), "--format", "paddleocr-det"]) == 0
    first, last = open_annotations(str(pages)), open_annotations(str(back))
    assert np.array_equal(first.points, last.points) and first.texts == last.texts and len(last.images) == 2
    assert np.array_equal(first.ignore, last.ignore)
    assert run(["dataset", "stats", str(out)]) == 3, "a plug-in of an earlier command is gone"
    assert run(["dataset", "stats", f"boxes-csv:{out}"]) == 2


def test_word_images_plug_in(tmp_path: Path, word_folder: Path) -> None:
    plugin, out = tmp_path / "dashes.py", tmp_path / "out"
    plugin.write_text(WORDS)
    assert run(["dataset", "convert", str(word_folder), str(out), "--format", "dashes", "--plugin", str(plugin)]) == 0
    assert run(["lmdb", "build", str(out), str(tmp_path / "lmdb"), "--plugin", str(plugin), "--jobs", "1"]) == 0
    assert list(open_source(str(tmp_path / "lmdb")).labels) == list(open_source(str(word_folder)).labels)
    with use_plugins([plugin]):
        assert detect(out)[0].NAME == "dashes" and len(open_source(f"dashes:{out}")) == 12
        (out / "tags.txt").write_text("0.png zero\n")
        assert detect(out)[0].NAME == "space-tags", "built-in formats come first"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ["no such file"]),
        ("NAME = 'x'\n1 / 0\n", ["ZeroDivisionError", "line 2"]),
        ("def read(:\n", ["SyntaxError", "line 1"]),
        ("import nothing_of_this_name\n", ["ModuleNotFoundError", "nothing_of_this_name"]),
        ("", ["lacks NAME", "lacks LABEL_FILES", "lacks sniff", "lacks read", "lacks write"]),
        (WORDS.replace("def write", "def rite"), ["lacks write."]),
        (WORDS + "PER_IMAGE = True\n", ["lacks KEEPS", "lacks render"]),
        (WORDS.replace('("*.dash",)', '"*.dash"'), ["LABEL_FILES of type str, expected tuple"]),
        (WORDS + "sniff = 3\n", ["sniff of type int, expected a function"]),
        (WORDS.replace('"dashes"', '"lmdb"'), ["'lmdb' is a built-in format"]),
    ],
)
def test_what_a_file_lacks_is_named(
    tmp_path: Path, content: str | None, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    if content is not None:
        plugin.write_text(content)
    (tmp_path / "x.dash").write_text("a--b\n")
    for spec in (str(tmp_path / "x.dash"), f"dashes:{tmp_path / 'x.dash'}"):
        assert run(["dataset", "stats", spec, "--plugin", str(plugin)]) == 2
        message = capsys.readouterr().err
        assert "mine.py" in message and all(word in message for word in said), message


def test_a_plug_ins_own_mistakes_are_not_taken_for_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin, data = tmp_path / "mine.py", tmp_path / "x.dash"
    plugin.write_text(WORDS)
    data.write_text("a--b\nc\n")
    assert run(["dataset", "stats", f"dashes:{data}", "--plugin", str(plugin)]) == 2
    assert (
        "read failed (ValueError: not enough values to unpack (expected 2, got 1), line 9)" in capsys.readouterr().err
    )


def test_two_files_of_one_name_are_ambiguous(tmp_path: Path) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text(WORDS)
    (tmp_path / "x.dash").write_text("a--b\n")
    with use_plugins(files), pytest.raises(UsageError, match="2 files define the format 'dashes'"):
        open_source(f"dashes:{tmp_path}")


def test_installed_plug_ins_go_by_their_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "installed_dashes.py").write_text(WORDS)
    (tmp_path / "installed_broken.py").write_text("raise OSError('gone')\n")
    (tmp_path / "x.dash").write_text("a--b\n")
    monkeypatch.syspath_prepend(tmp_path)

    def install(**points: str) -> None:
        package = tmp_path / "dashes_package-1.0.dist-info"
        package.mkdir(exist_ok=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: dashes-package\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (package / "entry_points.txt").write_text("\n".join([f"[{_plugins.GROUP}]", *lines, ""]))

    install(dashes="installed_dashes")
    assert open_source(str(tmp_path / "x.dash")).labels == ["b"]
    assert open_source(f"dashes:{tmp_path}").labels == ["b"]
    install(lines="installed_dashes")
    with pytest.raises(UsageError, match="expected NAME 'lines'"):
        open_source(f"lines:{tmp_path}")
    install(dashes="installed_broken")
    with pytest.raises(UsageError, match="cannot be loaded \\(OSError: gone\\)"):
        open_source(f"dashes:{tmp_path}")
    install(broken="installed_broken", lmdb="installed_broken")
    (tmp_path / "rec_gt.txt").write_text("a.png\tA\n")
    assert open_source(str(tmp_path / "rec_gt.txt")).labels == ["A"], "nothing is loaded where a built-in format fits"
    with pytest.raises(InputError):
        open_annotations(f"coco-text:{tmp_path}")


def test_private_modules_of_formats_are_imported_by_formats_alone() -> None:
    """Other packages use what `ocrctl.data.formats` and the protocols offer."""
    package = Path(ocrctl.__file__).parent
    inside = package / "data" / "formats"
    users = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if not path.is_relative_to(inside) and "data.formats._" in path.read_text(encoding="utf-8")
    ]
    assert users == []
