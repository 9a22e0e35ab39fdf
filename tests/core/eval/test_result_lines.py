"""Result lines: boxes, quads and polygons, with scores and texts that look like numbers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.core.eval.result_lines import read_results, unquoted
from ocrctl.errors import InputError

QUAD = "0,0,40,0,40,10,0,10"


def read(folder: Path, lines: list[str], scores: bool = False) -> tuple[list[int], list[str], list[float] | None]:
    folder.mkdir(exist_ok=True)
    (folder / "res_a.txt").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    data, found = read_results(folder, scores)
    assert data.images == ["a.jpg"] and not data.ignore.any()
    sizes = [int(size) for size in data.offsets[1:] - data.offsets[:-1]]
    return sizes, data.texts, None if found is None else found.tolist()


def test_shapes_and_texts(tmp_path: Path) -> None:
    quads = [QUAD, f"{QUAD},", f'{QUAD},"a, b"', f"{QUAD},24", f"{QUAD},x"] * 3
    texts = ["", "", "a, b", "24", "x"] * 3
    assert read(tmp_path / "q", [*quads, f"{QUAD},1,000"]) == ([4] * 16, [*texts, "1,000"], None)
    assert read(tmp_path / "b", ["0,0,40,10", "0,0,40,10,word", "-1,.5,4e1,10,7", ""]) == (
        [4] * 3,
        ["", "word", "7"],
        None,
    )
    long = f"{QUAD},-5,5"
    assert read(tmp_path / "p", [long, QUAD, f"{long},word", f"{long},24"]) == (
        [5, 4, 5, 5],
        ["", "", "word", "24"],
        None,
    )


def test_scores(tmp_path: Path) -> None:
    assert read(tmp_path / "q", [f"{QUAD},0.5", f"{QUAD},1,word", f"{QUAD},.25,24"], True) == (
        [4] * 3, ["", "word", "24"], [0.5, 1, 0.25],
    )  # fmt: skip
    assert read(tmp_path / "p", [f"{QUAD},-5,5,0.5", f"{QUAD},-5,5,0.75,7", f"{QUAD},0.1,a"], True) == (
        [5, 5, 4], ["", "7", "a"], [0.5, 0.75, 0.1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "scores", "said"),
    [
        ([QUAD] * 20 + ["1,2,3"], False, r"res_a.txt:21: expected 8 coordinates, found '1,2,3'"),
        ([QUAD] * 2, True, r"res_a.txt:1: expected an even number of coordinates and a score"),
        ([f"{QUAD},0.5"] * 20 + [QUAD], True, r"res_a.txt:21: expected 8 coordinates and a score"),
        (["0,0,9,9"] * 3 + [QUAD], False, r"res_a.txt:4: expected 4 coordinates"),
        (["word"], False, r"res_a.txt:1: expected"),
        (["38 43 920 215"], False, r"res_a.txt:1: expected"),
        ([QUAD] * 20 + [f"{QUAD[:-2]}nan"], False, r"res_a.txt:21: expected 8"),
    ],
)
def test_lines_that_do_not_fit(tmp_path: Path, lines: list[str], scores: bool, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path / "bad", lines, scores)


def test_quotes() -> None:
    assert unquoted('"a"') == "a" and unquoted(' "a \\"b\\" \\\\ " ') == 'a "b" \\ '
    assert unquoted('a"b"') == 'a"b"' and unquoted('"') == '"' and unquoted("") == ""


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.sampled_from("0123456789,.-e x\"'"), max_size=30), max_size=6), st.booleans())
def test_wild_lines_are_read_or_named(lines: list[str], scores: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_text("\n".join(lines), encoding="utf-8")
        try:
            data, found = read_results(Path(folder), scores)
        except InputError as error:
            assert "a.txt:" in error.message
        else:
            assert len(data) == sum(bool(line.strip()) for line in lines)
            assert (found is not None) == scores
