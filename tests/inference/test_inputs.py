"""What INPUT arguments stand for: the pages of TIFFs, and what folders hold besides images."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrctl.cli.app import run
from ocrctl.config.settings import DataSettings
from ocrctl.core.train.check_data import check_pages
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.data.images.tiff import pages
from ocrctl.data.validate.image_scan import multipage_note
from ocrctl.data.validate.run import header_errors
from ocrctl.errors import InputError
from ocrctl.inference.inputs import Skipped, UnreadableInput, is_one_image, iter_images


def sheets(count: int) -> list[Image.Image]:
    """Pages of one grey level each, of different sizes."""
    return [Image.new("RGB", (40 + 10 * number, 30), (20 * number, 9, 200)) for number in range(count)]


def tiff(count: int, **options: object) -> bytes:
    """A TIFF of `sheets`."""
    stream = io.BytesIO()
    first, *others = sheets(count)
    first.save(stream, "TIFF", save_all=True, append_images=others, **options)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}], ids=str)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_page_of_a_tiff_is_an_image(count: int, options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "scan.png"  # the content tells, not the name
    path.write_bytes(tiff(count, **options))
    found = [picture for picture in iter_images([str(path)], None) if picture]
    names = [f"{path}#{number}" for number in range(1, count + 1)] if count > 1 else [str(path)]
    assert [picture.path for picture in found] == names
    for picture, sheet in zip(found, sheets(count), strict=True):
        assert np.array_equal(decode(picture.encoded(), ""), np.asarray(sheet))
    assert [picture.page for picture in found] == ([*range(1, count + 1)] if count > 1 else [None])


def test_smaller_copies_and_masks_are_no_pages() -> None:
    data = bytearray(tiff(3))
    order = "<" if data[:2] == b"II" else ">"
    for offset, kind in zip(pages(bytes(data)).offsets[1:], (1, 4), strict=True):
        count = struct.unpack_from(order + "H", data, offset)[0]
        at = next(place for place in range(offset + 2, offset + 2 + 12 * count, 12)
                  if struct.unpack_from(order + "H", data, place)[0] > 278)  # fmt: skip
        # NewSubfileType stands where another tag did; the order of tags is not looked at.
        data[at : at + 12] = struct.pack(order + "HHII", 254, 4, 1, kind)
    assert len(pages(bytes(data)).offsets) == 1 and pages(bytes(data)).problem == ""


def test_pages_that_cannot_be_found_are_named(tmp_path: Path) -> None:
    whole = tiff(3)
    offsets = pages(whole).offsets
    (tmp_path / "cut.tif").write_bytes(whole[: offsets[2] + 4])
    order, last = "<" if whole[:2] == b"II" else ">", bytearray(whole)
    count = struct.unpack_from(order + "H", whole, offsets[2])[0]
    struct.pack_into(order + "I", last, offsets[2] + 2 + 12 * count, offsets[0])
    (tmp_path / "loop.tif").write_bytes(last)
    for name, read, reason in (("cut.tif", 2, "cut off or damaged"), ("loop.tif", 3, "runs into itself")):
        *there, lost = (picture for picture in iter_images([str(tmp_path / name)], None) if picture)
        assert len(there) == read and isinstance(lost, UnreadableInput) and lost.path.endswith(f"#{read + 1}")
        with pytest.raises(InputError, match=reason):
            lost.encoded()


def test_what_folders_hold_besides_images_is_counted(tmp_path: Path) -> None:
    for name in ("a.PDF", "b.pdf", "notes", "deep/c.docx", ".hidden", "deep/page.PNG", "x.txt", "y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"%PDF-1.7")
    skipped = Skipped()
    found = [picture.path for picture in iter_images([str(tmp_path)], None, skipped=skipped) if picture]
    assert found == [str(tmp_path / "deep" / "page.PNG")]
    assert skipped.summary() == (
        "6 files are no images and were skipped (.pdf 2, .txt 2, no suffix 1, .docx 1): "
        "a.PDF, b.pdf, notes, x.txt, y.txt, ..."
    )
    assert Skipped().summary() == ""


def test_predict_reads_all_pages_in_every_format(
    tiny_checkpoint: Path, tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "scan.tif").write_bytes(tiff(3))
    (folder / "letter.pdf").write_bytes(b"%PDF-1.7\n")
    names = [f"{folder}/scan.tif#{number}" for number in (1, 2, 3)]
    words = ["predict", str(folder), "-m", str(tiny_checkpoint), "--device", "cpu"]
    assert run([*words, "--json", "--report", str(tmp_path / "report.json")]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["path"], line["page"]) for line in lines] == [*zip(names, (1, 2, 3), strict=True)]
    assert "3 read, 0 unreadable" in err and "1 file is no image and was skipped (.pdf 1): letter.pdf" in err
    assert json.loads((tmp_path / "report.json").read_text())["skipped"] == [f"{folder}/letter.pdf"]
    assert run([*words, "--format", "tsv"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]] == names
    assert run([*words, "--format", "rec_gt", "-o", str(tmp_path / "gt")]) == 3
    assert "its 3 pages are not separate files" in capsys.readouterr().err

    detector = ["predict", str(folder), "-m", str(tiny_detector), "--device", "cpu", "-o", str(tmp_path / "out")]
    for name in ("overlay", "txt"):
        assert run([*detector, "--format", name]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*/*")) == [
        *(f"res_scan#{number}.txt" for number in (1, 2, 3)), *(f"scan#{number}.png" for number in (1, 2, 3))
    ]  # fmt: skip
    read = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [(line["path"], line["page"]) for line in read] == [*zip(names, (1, 2, 3), strict=True)]
    capsys.readouterr()

    assert run([*words[:1], f"{folder}/letter.pdf", names[0].partition("#")[0], *words[2:]]) == 1
    assert "it is a PDF; turn its pages into images first" in capsys.readouterr().err


def test_validate_finds_a_tiff_of_several_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("one.tif", 1), ("three.tif", 3)):
        (tmp_path / name).write_bytes(tiff(count))
    (tmp_path / "rec_gt.txt").write_text("one.tif\tword\nthree.tif\tother\n")
    for flags in ([], ["--header-only"]):
        assert run(["dataset", "validate", str(tmp_path), "--json", *flags]) == 0
        (found,) = (item for item in json.loads(capsys.readouterr().out)["codes"] if item["code"] == "I017")
        assert found["count"] == 1 and "has 3 pages; the labels apply to the first" in found["locations"][0]["message"]


def test_a_training_says_that_it_reads_first_pages(tmp_path: Path) -> None:
    for name, count in (("one.tif", 1), ("three.tif", 3)):
        (tmp_path / name).write_bytes(tiff(count))
    (tmp_path / "rec_gt.txt").write_text("one.tif\tword\nthree.tif\tother\n")
    words = open_annotations(str(tmp_path))
    (note,) = multipage_note(words, header_errors(words)[1])
    assert "1 TIFF holds several pages" in note and "three.tif" in note
    (tmp_path / "Label.txt").write_text(
        "".join(
            f'{name}\t[{{"transcription": "a", "points": [[1, 1], [30, 1], [30, 20], [1, 20]]}}]\n'
            for name in ("three.tif", "one.tif")
        )
    )
    pages_set = open_annotations(f"paddleocr-det:{tmp_path}")
    assert "several pages" in check_pages("set", pages_set, DataSettings()).notes[0]


def test_commands_that_write_datasets_count_tiffs_of_several_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, pages = tmp_path / "words", tmp_path / "pages"
    for folder in (words, pages):
        folder.mkdir()
        for name, count in (("one.tif", 1), ("three.tif", 3)):
            (folder / name).write_bytes(tiff(count))
    (words / "rec_gt.txt").write_text("one.tif\tword\nthree.tif\tother\n")
    item = '[{"transcription": "a", "points": [[1, 1], [30, 1], [30, 20], [1, 20]]}]'
    (pages / "Label.txt").write_text(f"three.tif\t{item}\none.tif\t{item}\n")
    commands = (
        ["lmdb", "build", str(words), "--jobs", "1"],
        ["dataset", "convert", str(words), "--format", "paddleocr-rec"],
        ["dataset", "convert", str(pages), "--format", "icdar15"],
        ["dataset", "crop", str(pages)],
        ["dataset", "split", str(words), "--part", "a=1", "--part", "b=1"],
    )
    for number, (group, name, spec, *options) in enumerate(commands):
        assert run([group, name, spec, str(tmp_path / f"out{number}"), *options]) == 0
        log = capsys.readouterr().err
        assert "1 TIFF holds several pages, only the first page is used (I017; first: " in log and "three.tif" in log


def test_only_one_image_file_is_one_image(tmp_path: Path) -> None:
    for name in ("one.JPG", "pages.tif", "words.txt"):
        (tmp_path / name).write_bytes(b"")
    one, pages_file, words, missing = (str(tmp_path / name) for name in ("one.JPG", "pages.tif", "words.txt", "no.jpg"))
    assert is_one_image([one])
    assert not any(map(is_one_image, ([], [one, one], [pages_file], [words], [missing], [str(tmp_path)], ["-"])))
