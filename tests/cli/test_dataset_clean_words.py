from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.files.journal import FOLDER, change_lock

ALL = ["--clamp", "--repair", "--remove-bad"]
TEXTS = ["fine", " edge\u3000", "a\u0007b", "cafÃ©", 'say "hi", you', "", "gone", "cut", "TEMPORARY", "ünï"]
LEFT = ["fine", "edge", "ab", "café", 'say "hi", you', "ünï"]


def pictures(folder: Path) -> list[str]:
    """One a text: number 6 is missing, number 7 cut off."""
    folder.mkdir(parents=True)
    for number in range(len(TEXTS)):
        Image.effect_noise((60, 20), 40 + number).convert("RGB").save(folder / f"{number}.jpg")
    (folder / "6.jpg").unlink()
    (folder / "7.jpg").write_bytes((folder / "7.jpg").read_bytes()[:300])
    return [f"{number}.jpg" for number in range(len(TEXTS))]


def paddle(folder: Path, names: list[str]) -> None:
    lines = [f"{name}\t{text}\r\n" for name, text in zip(names, TEXTS, strict=True)]
    content = "".join(lines) + lines[0] + '["9.jpg", "6.jpg", "4.jpg"]\tthree\r\n'
    (folder / "rec_gt.txt").write_bytes(content.encode("utf-8-sig"))


def icdar(folder: Path, names: list[str]) -> None:
    quoted = [text.replace('"', '\\"') for text in TEXTS]
    lines = "".join(f'{name}, "{text}"\r\n' for name, text in zip(names, quoted, strict=True))
    (folder / "gt.txt").write_bytes(lines.encode("utf-8-sig"))


def tags(folder: Path, names: list[str]) -> None:
    (folder / "tags.txt").write_text("".join(f"{name} {text}\n" for name, text in zip(names, TEXTS, strict=True)))


def jsonl(folder: Path, names: list[str]) -> None:
    rows = [{"filename": name, "text": text, "id": 7} for name, text in zip(names, TEXTS, strict=True)]
    (folder / "label.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def mmocr(folder: Path, names: list[str]) -> None:
    entries = [
        {"img_path": name, "instances": [{"text": text}], "id": 7} for name, text in zip(names, TEXTS, strict=True)
    ]
    (folder / "textrecog_train.json").write_text(json.dumps({"metainfo": {"k": 1}, "data_list": entries}))


def doctr(folder: Path, names: list[str]) -> None:
    (folder / "images").mkdir()
    for path in folder.glob("*.jpg"):
        path.rename(folder / "images" / path.name)
    (folder / "labels.json").write_text(json.dumps(dict(zip(names, TEXTS, strict=True))))


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("write", [paddle, icdar, tags, jsonl, mmocr, doctr])
def test_every_format_in_place_and_back(tmp_path: Path, write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    write(folder, pictures(folder))
    before = state(folder)
    assert run(["dataset", "validate", str(folder)]) == 1
    assert run(["dataset", "clean", str(folder)]) == 1 and state(folder) == before
    assert run(["dataset", "clean", str(folder), *ALL]) == 0
    assert run(["dataset", "validate", str(folder)]) == 0
    # Samples 4 and 9 are listed a second time in PaddleOCR's list, and 0 in a line of its own: the first one counts.
    assert list(open_source(str(folder)).labels) == LEFT
    after = state(folder)
    assert run(["dataset", "clean", str(folder), *ALL]) == 0 and state(folder) == after
    assert run(["dataset", "clean", str(folder)]) == 0
    assert run(["dataset", "undo", str(folder)]) == 0 and state(folder) == before


def test_lines_without_a_fault_keep_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    names = pictures(folder)
    lines = [f"{name}\t{text}\r\n" for name, text in zip(names[:5], TEXTS[:5], strict=True)]
    lines += ["\r\n", '["9.jpg",   "6.jpg"]\tthree']
    (folder / "rec_gt.txt").write_bytes("".join(lines).encode("utf-8-sig"))
    assert run(["dataset", "clean", str(folder), *ALL]) == 0
    assert (folder / "rec_gt.txt").read_bytes() == (
        '0.jpg\tfine\r\n1.jpg\tedge\r\n2.jpg\tab\r\n3.jpg\tcafé\r\n4.jpg\tsay "hi", you\r\n\r\n["9.jpg"]\tthree'.encode(
            "utf-8-sig"
        )
    )


def test_other_keys_stay(tmp_path: Path) -> None:
    for write in (jsonl, mmocr):
        folder = tmp_path / write.__name__
        write(folder, pictures(folder))
        assert run(["dataset", "clean", str(folder), *ALL]) == 0
        text = next(path for path in folder.iterdir() if path.suffix in (".json", ".jsonl")).read_text()
        assert text.count('"id": 7') == len(LEFT) and "edge" in text


def test_a_copy_and_an_lmdb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    jsonl(folder, pictures(folder))
    before = state(folder)
    assert run(["dataset", "clean", str(folder), *ALL, "--out", str(tmp_path / "copy")]) == 0
    assert state(folder) == before and list(open_source(str(tmp_path / "copy")).labels) == LEFT
    assert run(["dataset", "validate", str(tmp_path / "copy")]) == 0
    assert run(["dataset", "convert", str(tmp_path / "copy"), str(tmp_path / "db"), "--format", "lmdb"]) == 0
    capsys.readouterr()
    assert run(["dataset", "clean", str(tmp_path / "db"), *ALL]) == 2
    assert "--out DIR" in capsys.readouterr().err
    assert run(["dataset", "clean", str(tmp_path / "db"), *ALL, "--out", str(tmp_path / "db2")]) == 0
    assert list(open_source(str(tmp_path / "db2")).labels) == LEFT


def test_nothing_is_emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rec_gt.txt").write_text("a.jpg\tone\nb.jpg\ttwo\n")
    before = state(tmp_path)
    assert run(["dataset", "clean", str(tmp_path), *ALL]) == 3
    assert "no image would be left" in capsys.readouterr().err and state(tmp_path) == before


def test_the_same_file_listed_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    pictures(folder)
    (folder / "rec_gt.txt").write_text("0.jpg\tone\n1.jpg\ttwo\n0.jpg\tone\n1.jpg\tother\n")
    assert run(["dataset", "validate", str(folder), "--json", "-q"]) == 1
    (code,) = json.loads(capsys.readouterr().out)["codes"]
    assert (code["name"], code["count"]) == ("listed-twice", 2)
    assert [place["line"] for place in code["locations"]] == [3, 4]
    assert code["locations"][1]["message"].endswith("which reads 'two'")


def test_two_cleans_at_once_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    tags(folder, pictures(folder))
    with change_lock(folder):
        assert run(["dataset", "clean", str(folder), *ALL]) == 2
        assert "another command is changing it" in capsys.readouterr().err
        assert run(["dataset", "clean", str(folder)]) == 1
    assert run(["dataset", "clean", str(folder), *ALL]) == 0
    with change_lock(folder):
        assert run(["dataset", "undo", str(folder)]) == 2
    assert run(["dataset", "undo", str(folder)]) == 0


def test_who_reads_meets_no_half(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    tags(folder, pictures(folder))
    old = (folder / "tags.txt").read_bytes()
    assert run(["dataset", "clean", str(folder), *ALL]) == 0
    new = (folder / "tags.txt").read_bytes()
    (folder / FOLDER / "0001" / "done").unlink()  # as if it had been killed before its files were replaced
    (folder / "tags.txt").write_bytes(old)
    assert run(["lmdb", "build", str(folder), str(tmp_path / "db")]) == 3
    assert f"ocrctl dataset undo {folder}" in capsys.readouterr().err
    reading = ["validate", str(folder)], ["stats", str(folder)], ["charset", str(folder)], ["clean", str(folder)]
    writing = [[name, str(folder), str(tmp_path / "o")] for name in ("convert", "split", "crop")]
    writing[0] += ["--format", "lmdb"]
    for command in (*reading, *writing):  # none of them changes the set
        assert run(["dataset", *command]) == 3 and (folder / "tags.txt").read_bytes() == old
    assert not (folder / FOLDER / "0001" / "done").exists() and sorted(os.listdir(tmp_path)) == ["set"]
    with change_lock(folder):  # it still runs
        assert run(["dataset", "clean", str(folder), *ALL]) == 2
    assert run(["dataset", "clean", str(folder), *ALL]) == 0 and (folder / "tags.txt").read_bytes() == new
    assert len(open_annotations(str(folder))) == len(LEFT)


def test_a_journal_cannot_write_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    tags(folder, pictures(folder))
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    entry = folder / FOLDER / "0001"
    entry.mkdir(parents=True)
    (entry / "0.new").write_bytes(b"theirs")
    for name in ("../victim", str(victim)):
        (entry / "plan.json").write_text(json.dumps([name]))
        assert run(["dataset", "clean", str(folder), *ALL]) == 3
        assert "links to" in capsys.readouterr().err and victim.read_bytes() == b"mine"


def test_a_label_file_that_is_a_link_out_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    tags(folder, pictures(folder))
    (folder / "tags.txt").rename(tmp_path / "shared.txt")
    (folder / "tags.txt").symlink_to(tmp_path / "shared.txt")
    before = (tmp_path / "shared.txt").read_bytes()
    assert run(["dataset", "clean", str(folder), *ALL]) == 3
    assert (tmp_path / "shared.txt").read_bytes() == before and not (folder / FOLDER).exists()


@pytest.mark.parametrize("target", [[], ["--format", "lmdb"]])
def test_split_of_words(tmp_path: Path, target: list[str]) -> None:
    folder = tmp_path / "set"
    names = [f"{number}.jpg" for number in range(30)]
    folder.mkdir()
    for number, name in enumerate(names):
        Image.effect_noise((60, 20), 40 + number).convert("RGB").save(folder / name)
    (folder / "rec_gt.txt").write_text("".join(f"{name}\tword{name}\n" for name in [*names, names[0]]))
    arguments = ["dataset", "split", str(folder), str(tmp_path / "out"), *target]
    assert run([*arguments, "--part", "a=0.8", "--part", "b=0.2"]) == 0
    parts = [list(open_source(str(tmp_path / "out" / name)).labels) for name in "ab"]
    assert len(parts[0]) in (24, 25) and sorted(parts[0] + parts[1]) == sorted(f"word{n}" for n in [*names, names[0]])
    assert not set(parts[0]) & set(parts[1])
    assert run(["dataset", "split", str(folder), str(tmp_path / "o"), "--format", "icdar15"]) == 2
