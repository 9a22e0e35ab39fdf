from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations
from ocrctl.errors import InputError, UsageError
from ocrctl.files.journal import FOLDER, change, recover, undo

QUAD = [[10, 10], [60, 10], [60, 30], [10, 30]]
ALL = ["--clamp", "--repair", "--remove-bad"]


def damaged(folder: Path) -> Path:
    """Ten pages 200 x 100; some labels hurt in each of the usual ways, BOM and CRLF included."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(10):
        image = Image.effect_noise((200, 100), 60 + number).convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 8 else 1
        image.save(folder / f"{number}.jpg", exif=exif)
        points = [[120, 10], [190, 10], [190, 30], [120, 30]] if number == 8 else QUAD
        items = [{"transcription": f"w{number}", "points": points, "key_cls": "None"}]
        rows.append((f"{number}.jpg", items))
    rows[0][1].append({"transcription": "out", "points": [[150, 40], [240, 40], [240, 60], [150, 60]]})
    rows[1][1].append({"transcription": "gone", "points": [[300, 40], [340, 40], [340, 60], [300, 60]]})
    rows[2][1].append({"transcription": "bow", "points": [[100, 40], [180, 60], [180, 40], [100, 60]]})
    rows[3][1].append(dict(rows[3][1][0]))
    rows[4][1].append({"transcription": "two", "points": [[100, 40], [150, 60]]})
    rows[5][1][0]["transcription"] = " e\u0301 "
    (folder / "6.jpg").write_bytes(b"no picture")
    rows[7][1][0]["points"] = [[500, 500], [520, 500], [520, 520], [500, 520]]
    lines = "".join(f"{name}\t{json.dumps(items, ensure_ascii=False)}\r\n" for name, items in rows)
    (folder / "Label.txt").write_bytes(("\ufeff" + lines).encode())
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dry_run_tells_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = state(damaged(tmp_path))
    assert run(["dataset", "clean", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["dry"] and state(tmp_path) == before
    assert report["actions"] == {
        "turned: exif-frame": 1, "clamped: out-of-bounds": 1, "repaired: self-intersecting": 1, "repaired: not-nfc": 1,
        "repaired: edge-spaces": 1, "image removed: unreadable": 1, "removed: too-few-points": 1,
        "removed: outside": 2, "removed: duplicate": 1, "image removed: nothing is left": 1,
    }  # fmt: skip


def test_a_dry_run_says_that_nothing_was_written_and_what_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(tmp_path)
    assert run(["dataset", "clean", str(tmp_path)]) == 1
    *_, nothing, command = capsys.readouterr().err.splitlines()
    assert nothing == "nothing was written; --clamp, --repair and --remove-bad write their fixes"
    assert command == f"next: ocrctl dataset clean {tmp_path} --clamp --repair --remove-bad"
    run(["dataset", "clean", str(tmp_path), "--clamp"])
    assert "nothing was written" not in capsys.readouterr().err


def test_clean_leaves_a_valid_set_and_undo_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(damaged(tmp_path))
    monkeypatch.setenv("OCRCTL_DATA", str(tmp_path))
    assert run(["dataset", "validate"]) == 1
    assert run(["dataset", "clean", *ALL]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"next: ocrctl dataset undo {tmp_path}"
    assert run(["dataset", "validate"]) == 0
    data = open_annotations(str(tmp_path))
    assert len(data.images) == 8 and data.texts == ["w0", "out", "w1", "w2", "bow", "w3", "w4", "é", "w8", "w9"]
    assert data.polygon(1).tolist() == [[150, 40], [200, 40], [200, 60], [150, 60]]
    assert data.polygon(4).tolist() == [[100, 40], [180, 40], [180, 60], [100, 60]]
    assert data.extras[0] == {"key_cls": "None"} and data.polygon(0).tolist() == QUAD
    after = state(tmp_path)
    assert run(["dataset", "clean", *ALL]) == 0 and state(tmp_path) == after
    assert run(["dataset", "clean"]) == 0
    assert run(["dataset", "undo"]) == 0 and state(tmp_path) == before
    assert run(["dataset", "undo"]) == 2


def test_a_cleaned_copy(tmp_path: Path) -> None:
    before = state(damaged(tmp_path / "a"))
    assert run(["dataset", "clean", str(tmp_path / "a"), *ALL, "--out", str(tmp_path / "b")]) == 0
    assert state(tmp_path / "a") == before
    assert run(["dataset", "validate", str(tmp_path / "b")]) == 0 and (tmp_path / "b" / "images" / "0.jpg").exists()
    assert run(["dataset", "clean", str(tmp_path / "a"), *ALL, "--out", str(tmp_path / "b")]) == 2


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    damaged(tmp_path)
    assert run(["dataset", "clean", str(tmp_path), "--clamp"]) == 1
    data = open_annotations(str(tmp_path))
    assert len(data) == 15 and data.polygon(1)[:, 0].max() == 200


@pytest.mark.parametrize("corner, kept", [(399, True), (1900, False)])
def test_a_wrong_number_is_not_clamped_to_a_box_of_other_text(tmp_path: Path, corner: int, kept: bool) -> None:
    damaged(tmp_path)
    label = f'{{"transcription": "out", "points": [[150, 40], [{corner}, 40], [190, 60], [150, 60]]}}'
    text = (tmp_path / "Label.txt").read_text(encoding="utf-8-sig")
    start = text.index('{"transcription": "out"')
    (tmp_path / "Label.txt").write_text(text[:start] + label + text[text.index("}", start) + 1 :], encoding="utf-8")
    assert run(["dataset", "clean", str(tmp_path), *ALL]) == 0
    assert ("out" in (tmp_path / "Label.txt").read_text(encoding="utf-8-sig")) == kept


def test_one_label_file_an_image_is_left_alone_where_nothing_is_wrong(tmp_path: Path) -> None:
    for number in range(3):
        Image.effect_noise((200, 100), 60 + number).convert("RGB").save(tmp_path / f"{number}.png")
        line = "10,10,60,10,60,30,10,30,ok\r\n" + ("300,10,360,10,360,30,300,30,far\r\n" if number == 1 else "")
        (tmp_path / f"gt_{number}.txt").write_bytes(line.encode("utf-8-sig"))
    (tmp_path / "2.png").unlink()
    before = state(tmp_path)
    assert run(["dataset", "clean", str(tmp_path), *ALL]) == 0
    after = {name: content for name, content in state(tmp_path).items() if not name.startswith(FOLDER)}
    assert after == {**{name: before[name] for name in ("0.png", "1.png", "gt_0.txt")},
                     "gt_1.txt": b"10,10,60,10,60,30,10,30,ok\n"}  # fmt: skip
    assert run(["dataset", "undo", str(tmp_path)]) == 0 and state(tmp_path) == before


class Killed(Exception):
    pass


def test_a_change_killed_at_any_step_is_all_old_or_all_new(tmp_path: Path) -> None:
    steps: list[str] = []
    for count in range(12):
        folder = tmp_path / str(count)
        (folder / "sub").mkdir(parents=True)
        old = {folder / "a": b"1", folder / "sub" / "b": b"2", folder / "c": b"3"}
        new: dict[Path, bytes | None] = {folder / "a": b"one", folder / "sub" / "b": None, folder / "d": b"4"}
        for path, content in old.items():
            path.write_bytes(content)
        before, left = state(folder), [count]

        def step(name: str, left: list[int] = left) -> None:
            steps.append(name)
            if not left[0]:
                raise Killed
            left[0] -= 1

        try:
            change(folder, new, step)
        except Killed:
            recover(folder)
        now = {name: content for name, content in state(folder).items() if not name.startswith(FOLDER)}
        whole = {"a": b"one", "c": b"3", "d": b"4"}
        assert now in (before, whole)
        if now == whole:
            left[0] = count // 2
            try:
                undo(folder, step)
            except Killed:
                recover(folder)
            assert state(folder) == before
    assert {"plan", "decide", "done", "forget"} <= set(steps)


def many_pages(folder: Path) -> None:
    """Twelve pages with a label file each, in which one of two boxes leaves the page."""
    folder.mkdir()
    picture = folder / "0.png"
    Image.effect_noise((200, 100), 60).convert("RGB").save(picture)
    for number in range(12):
        if number:
            (folder / f"{number}.png").write_bytes(picture.read_bytes())
        (folder / f"gt_{number}.txt").write_text("10,10,60,10,60,30,10,30,ok\n150,50,260,50,260,70,150,70,out\n")


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_clean_and_undo_killed_at_random_moments(tmp_path: Path) -> None:
    many_pages(tmp_path / "set")
    script = Path(__file__).with_name("kill_clean.py")
    outcome = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "set"), "20"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    counts = json.loads(outcome.stdout)
    assert sum(counts.values()) == 40 and any("half" in what or "decided" in what for what in counts), counts


def test_edits_after_a_clean_are_not_lost(tmp_path: Path) -> None:
    change(tmp_path, {tmp_path / "a": b"1"})
    (tmp_path / "a").write_bytes(b"edited")
    with pytest.raises(UsageError, match="edited after"):
        undo(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"edited"


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A set in a folder that nobody but root may write to, and, where the tests run as root, another user's eyes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "set"
        many_pages(folder)
        assert run(["dataset", "clean", str(folder), *ALL]) == 0  # all modules are imported before the user changes
        assert run(["dataset", "undo", str(folder)]) == 0
        Path(temporary).chmod(0o755)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_a_read_only_folder_is_untouched(read_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = state(read_only)
    assert run(["dataset", "validate", str(read_only)]) == 1
    assert run(["dataset", "clean", str(read_only)]) == 1
    capsys.readouterr()
    assert run(["dataset", "clean", str(read_only), *ALL]) == 3
    assert "cannot be written" in capsys.readouterr().err and state(read_only) == before
    with pytest.raises(InputError, match="nothing was changed"):
        change(read_only, {read_only / "gt_0.txt": b"2"})
    assert state(read_only) == before
