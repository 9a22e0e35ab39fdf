"""Texts that an encoding has damaged, and those that only look so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.data.validate.mojibake import lost_bytes, unmojibake
from ocrctl.data.validate.text_rules import has_error, text_problems


def read_as_latin(text: str, drop: int | None = None) -> str:
    """`text` in UTF-8, byte number `drop` gone, read as Windows-1252 (what it lacks as Latin-1)."""
    content = bytearray(text.encode())
    if drop is not None:
        del content[drop]
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in content)


@pytest.mark.parametrize("text", ["코드", "한국어 메뉴", "漢字カナ", "café", "ĐƯỜNG", "quán phở", "Ştefan", "Москва"])
def test_mojibake_is_told_whole_and_with_bytes_lost(text: str) -> None:
    if all(byte not in text.encode() for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)):
        assert unmojibake(read_as_latin(text)) == text
    if ord(text[0]) > 0x800:  # three bytes a character: what is left of the others tells
        for drop in range(len(text.encode())):
            damaged = read_as_latin(text, drop)
            assert unmojibake(damaged) or lost_bytes(damaged), damaged


@pytest.mark.parametrize("text", ["ì½”ë”", "voilÃ", "ë©”ë‰´íŒ", "ì„ë‹¹", "ë”ë”", "TÃ´i ngÃ", "ABCì½”ë”"])
def test_lost_bytes_are_an_error(text: str) -> None:
    assert lost_bytes(text) and has_error(text)


@pytest.mark.parametrize("text", [
    "NESTLÉ®", "“CAFÉ”", "CAFÉ’S", "«été»", "«Été»…", "É™", "naïve", "coração", "AMANHÃ", "IRMÃ", "MAÇÃ", "Ångström",
    "10 £ – 20 £", "½ Preis", "¿Qué?", "20°C", "§ 5 – ‘Straße’", "Über “Öl”", "’É’", "ELLE©", "ÑANDÚ®", "Großë",
    "à 5 €", "ĐƯỜNG", "phở", "Ã", "Â", "à", "é”", "코드", "“à”", "São Tomé", "‘é’ “è”",
])  # fmt: skip
def test_latin_texts_are_left_alone(text: str) -> None:
    assert unmojibake(text) == "" and lost_bytes(text) == "", (unmojibake(text), lost_bytes(text))
    assert not has_error(text)


@pytest.mark.parametrize(
    ("text", "bad"),
    [("????", True), ("?????? ??", True), ("？？？？", True), ("???12", True), ("A ???b", True), ("锟斤拷", True),
     ("?", False), ("??", False), ("???", False), ("what????", False), ("?? ?", False), ("50%?", False),
     ("¿???", False), ("?a", False), ("??b", False), ("!???", False)],
)  # fmt: skip
def test_question_marks(text: str, bad: bool) -> None:
    assert ("question-marks" in dict(text_problems(text))) == bad
    assert has_error(text) == bad


def test_they_are_found_counted_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word_folder: Path
) -> None:
    texts = ["fine", "ì½”ë”", "????", "???", "what????", "NESTLÉ®", "???7"]
    lines = []
    for number, text in enumerate(texts):
        name = f"{number:02d}.png"
        (tmp_path / name).write_bytes((word_folder / name).read_bytes())
        lines.append(f"{name}\t{text}\n")
    (tmp_path / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    assert run(["dataset", "validate", str(tmp_path), "--header-only", "--json"]) == 1
    codes = {code["code"]: code["locations"] for code in json.loads(capsys.readouterr().out)["codes"]}
    assert {code: [place["line"] for place in places] for code, places in codes.items()} == {
        "T011": [2],
        "T012": [3, 7],
    }
    assert "'코" in codes["T011"][0]["message"]
    assert run(["dataset", "clean", str(tmp_path), "--repair", "--remove-bad"]) == 0
    assert (tmp_path / "rec_gt.txt").read_text(encoding="utf-8") == "".join(
        line for line in lines if "ì" not in line and "\t????" not in line and "???7" not in line
    )
