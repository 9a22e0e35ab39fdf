from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run

QUAD = [[10, 10], [60, 10], [60, 30], [10, 30]]


def picture(path: Path, seed: int, orientation: int = 1, size: tuple[int, int] = (100, 200)) -> None:
    """An image (height, width) of coarse noise, as JPEG, with an EXIF orientation."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (8, 9, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(cv2.resize(noise, size[::-1])).save(path, "JPEG", exif=exif, quality=90)


def pages(folder: Path, table: dict[str, list[tuple[str, list]]]) -> Path:
    """A PaddleOCR set; images that do not exist yet are made."""
    lines = []
    for seed, (name, items) in enumerate(table.items()):
        if not (folder / name).exists():
            picture(folder / name, seed)
        labels = [{"transcription": text, "points": points} for text, points in items]
        lines.append(f"{name}\t{json.dumps(labels, ensure_ascii=False)}\n")
    (folder / "Label.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def judged(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, int], dict]:
    code = run(["dataset", "validate", *arguments, "--json", "-q"])
    report = json.loads(capsys.readouterr().out)
    return code, {entry["name"]: entry["count"] for entry in report["codes"]}, report


def test_a_good_set_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages(tmp_path, {"a.jpg": [("one", QUAD)], "b.jpg": [("two", QUAD)]})
    code, names, report = judged([str(tmp_path), "--fail-on", "info"], capsys)
    assert (code, names, report["images"], report["failed"]) == (0, {}, 2, 0)


def test_every_kind_of_damage_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("cut.jpg", "holed.jpg", "same.jpg", "turned.jpg", "unsure.jpg", "fine.jpg")):
        picture(tmp_path / name, number, {"turned.jpg": 6, "unsure.jpg": 3}.get(name, 1))
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "same.jpg").read_bytes())
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"no picture at all")
    again = cv2.imread(str(tmp_path / "fine.jpg"))
    cv2.imwrite(str(tmp_path / "again.jpg"), again, [cv2.IMWRITE_JPEG_QUALITY, 60])
    wide = [[110, 10], [190, 10], [190, 30], [110, 30]]
    names = ("cut", "same", "copy", "turned", "unsure", "fine", "empty", "text", "again", "fine")
    rows = [f"{n}.jpg\t{json.dumps([{'transcription': 'x', 'points': wide}])}\n" for n in (*names, "gone")]
    (tmp_path / "Label.txt").write_text("".join(rows))
    code, found, report = judged([str(tmp_path)], capsys)
    assert code == 1
    assert found == {"missing": 1, "unreadable": 1, "truncated": 1, "empty-file": 1, "exif-frame": 1, "listed-twice": 1,
                     "exif-orientation": 1, "same-file": 1, "same-picture": 1}  # fmt: skip
    places = {entry["name"]: entry["locations"][0]["where"] for entry in report["codes"]}
    assert places["exif-frame"].endswith("Label.txt:4 (turned.jpg)") and "gone.jpg" in places["missing"]
    code, found, _ = judged([str(tmp_path), "--header-only"], capsys)
    assert code == 1 and found["missing"] == 1 and "truncated" not in found


def test_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["", "a\u0007", "b\ufffd", "cafÃ©", "e\u0301", "pаypal", " x", "TEMPORARY", "Ünï", "###"]
    rows = [
        (text, [[10, 10 + 8 * i], [60, 10 + 8 * i], [60, 17 + 8 * i], [10, 17 + 8 * i]]) for i, text in enumerate(texts)
    ]
    pages(tmp_path, {"a.jpg": rows})
    _, found, report = judged([str(tmp_path)], capsys)
    assert found == dict.fromkeys(["empty-text", "control-character", "replacement-character", "mojibake", "not-nfc",
                                   "look-alike", "edge-spaces", "placeholder"], 1)  # fmt: skip
    messages = {entry["name"]: entry["locations"][0]["message"] for entry in report["codes"]}
    assert "'café'" in messages["mojibake"] and "'paypal'" in messages["look-alike"]


def test_thresholds_github_and_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages(tmp_path, {"a.jpg": [("one", QUAD[::-1])]})
    monkeypatch.setenv("OCRCTL_DATA", str(tmp_path))
    for wanted, expected in (("error", 0), ("warning", 1), ("P007", 1), ("counter-clockwise", 1), ("P001", 0)):
        assert run(["dataset", "validate", "--fail-on", wanted]) == expected, wanted
    capsys.readouterr()
    assert run(["dataset", "validate", "--github"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("::warning file=") and "Label.txt,line=1,title=P007 counter-clockwise::" in line
    assert run(["dataset", "validate", "--fail-on", "clockwise"]) == 2
    assert "Did you mean 'counter-clockwise'" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert run(["dataset", "validate", "--github"]) == 0
    assert capsys.readouterr().out.startswith("::warning file=Label.txt,line=1,")
    monkeypatch.delenv("OCRCTL_DATA")
    assert run(["dataset", "validate"]) == 2


def test_the_set_from_argument_flag_profile_or_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = [[x + 5000, y] for x, y in QUAD]
    good, bad = (
        pages(tmp_path / "good", {"a.jpg": [("one", QUAD)]}),
        pages(tmp_path / "bad", {"a.jpg": [("x", outside)]}),
    )
    monkeypatch.delenv("OCRCTL_PROFILE", raising=False)
    monkeypatch.setenv("OCRCTL_DATA", str(bad))
    profile = tmp_path / "mine.toml"
    profile.write_text(f"[data]\ntrain = ['{good}']\n")
    for arguments, code in (
        ([], 1),
        (["-d", str(good)], 0),
        (["-p", str(profile)], 0),
        (["-d", str(bad), str(bad)], 1),
    ):
        assert run(["dataset", "validate", *arguments]) == code, arguments
    monkeypatch.setenv("OCRCTL_DATA", f"{good},{bad}")
    capsys.readouterr()
    assert run(["dataset", "validate"]) == run(["dataset", "validate", str(good), "-d", str(bad)]) == 2
    assert "names 2 data sets" in capsys.readouterr().err
    profile.write_text(f"[data]\ntrain = ['{bad}']\n")
    assert run(["dataset", "clean", "-p", str(profile), "--remove-bad"]) == 3  # nothing would be left
    assert run(["dataset", "clean", "-p", str(profile)]) == 1
    assert run(["dataset", "undo", "-p", str(profile)]) in (2, 3)
    assert run(["dataset", "validate", str(good), "-p", str(profile)]) == 2  # --profile needs --for


def test_the_same_image_in_another_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = pages(tmp_path / "train", {"a.jpg": [("one", QUAD)], "b.jpg": [("two", QUAD)]})
    test = pages(tmp_path / "test", {"c.jpg": [("x", QUAD)], "d.jpg": []})
    (test / "c.jpg").write_bytes((train / "b.jpg").read_bytes())
    picture(test / "d.jpg", 9)
    code, found, report = judged([str(train), "--against", str(test)], capsys)
    assert code == 1 and found == {"in-both-sets": 1}
    assert (
        "c.jpg" in report["codes"][0]["locations"][0]["message"]
        and "b.jpg" in report["codes"][0]["locations"][0]["where"]
    )


def test_what_a_model_cannot_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["fine", "Café", "a" * 26, "a" * 14, "z9"]
    for number in range(5):
        picture(tmp_path / f"{number}.jpg", number, size=(5 if number == 4 else 32, 120))
    (tmp_path / "rec_gt.txt").write_text("".join(f"{i}.jpg\t{t}\n" for i, t in enumerate(texts)), encoding="utf-8")
    code, found, _ = judged([str(tmp_path), "--for", "crnn-tiny"], capsys)
    assert code == 1
    assert found == {"unknown-character": 1, "over-length-limit": 1, "too-many-steps": 1, "too-low": 1,
                     "extreme-aspect": 1}  # fmt: skip
    assert run(["dataset", "validate", str(tmp_path), "--charset", "ascii94"]) == 2


def test_for_a_trained_model(
    tmp_path: Path, tiny_checkpoint: Path, tiny_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, text in enumerate(("fine", "Caf\u00e9", "a" * 26)):
        picture(tmp_path / f"{number}.jpg", number, size=(32, 120))
        with open(tmp_path / "rec_gt.txt", "a", encoding="utf-8") as labels:
            labels.write(f"{number}.jpg\t{text}\n")
    for model in (tiny_checkpoint, tiny_checkpoint.parent, tiny_onnx):
        code, found, report = judged([str(tmp_path), "--for", str(model)], capsys)
        assert code == 1 and found == {"unknown-character": 1, "over-length-limit": 1}
        assert (
            "'C', '\u00e9'"
            in next(c for c in report["codes"] if c["name"] == "unknown-character")["locations"][0]["message"]
        )
    assert run(["dataset", "validate", str(tmp_path), "--for", str(tiny_onnx), "--charset", "ascii94"]) == 2
    assert run(["dataset", "validate", str(tmp_path), "--for", str(tmp_path / "0.jpg")]) == 3
    assert run(["dataset", "validate", str(tmp_path), "--for", "crn"]) == 2


def page_data(page: Path) -> tuple[str, dict]:
    """The page, and what its script is given."""
    text = page.read_text(encoding="utf-8")
    given = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert "<" not in given
    return text, json.loads(given)


def test_the_report_is_one_file(tmp_path: Path) -> None:
    bad = '<!--<script></script>\u2028\u202e&"'
    pages(tmp_path, {"a.jpg": [(bad, [[150, 10], [260, 10], [260, 30], [150, 30]])]})
    page = tmp_path / "report.html"
    assert run(["dataset", "validate", str(tmp_path), "--report", str(page), "-q"]) == 1
    text, given = page_data(page)
    assert (
        text.count("</script>") == 2
        and "data:image/jpeg;base64," in text
        and "http" not in text.replace("http://www.w3", "")
    )
    assert given["items"][0]["text"] == bad.replace("\u2028\u202e", "\\u2028\\u202e")


def test_the_report_zooms_to_findings_and_draws_what_they_are_compared_with(tmp_path: Path) -> None:
    def at(left: int, top: int, width: int = 100, height: int = 40) -> list[list[int]]:
        return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]

    for name in ("large", "ignored", "same", "copy"):
        picture(tmp_path / f"{name}.jpg", len(name), size=(1600, 2400) if name == "large" else (100, 200))
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "same.jpg").read_bytes())
    pages(tmp_path, {
        "large.jpg": [("one", at(200, 300)), ("one", at(203, 302)), ("two", at(900, 900, 6, 2)), ("far", at(9000, 10))],
        "ignored.jpg": [("###", QUAD), ("###", [[70, 40], [90, 40], [90, 60], [70, 60]])],
        "same.jpg": [("x", QUAD)], "copy.jpg": [("x", QUAD)],
    })  # fmt: skip
    page = tmp_path / "report.html"
    assert run(["dataset", "validate", str(tmp_path), "--report", str(page), "-q"]) == 1
    _, given = page_data(page)
    found = {item["name"]: item for item in given["items"]}
    overlap = found["overlap"]
    assert [(shape["kind"], shape["points"][0]) for shape in overlap["shapes"]] == [
        ("hit", [203, 302]),
        ("other", [200, 300]),
    ]
    left, top, width, height = overlap["view"]
    assert (
        left < 200 and top < 300 and left + width > 303 and top + height > 342 and width * height < 0.05 * 2400 * 1600
    )
    crop = overlap["crop"]  # the image in the page is shrunk, the part that is zoomed to is not
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(crop["src"].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[1::-1] == (crop["width"], crop["height"]) == (width, height)
    assert found["tiny"]["view"][2] <= 6 + 2 * 40 and found["outside"]["view"] is None
    assert [shape["kind"] for shape in found["all-ignored"]["shapes"]] == ["ignored", "ignored"]
    beside = found["same-file"]
    assert beside["image"] != beside["beside"] and str(beside["beside"]) in given["images"]
