from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.formats import FORMATS, detect
from ocrctl.data.formats.spec import open_source, parse_spec
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.errors import InputError, UsageError
from ocrctl.text.normalize import normalize_label

PNG = cv2.imencode(".png", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))[1].tobytes()
JPG = cv2.imencode(".jpg", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))[1].tobytes()
LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=12)


def put(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a label file beside the images a.png, b.png and img/c.png."""
    (folder / "img").mkdir(exist_ok=True, parents=True)
    for image in ("a.png", "b.png", "img/c.png"):
        (folder / image).write_bytes(PNG)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> FolderWords:
    source = open_source(str(path))
    assert isinstance(source, FolderWords)
    return source


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None)
@given(labels=st.lists(LABELS, min_size=1, max_size=4))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, name: str, labels: list[str]) -> None:
    out = tmp_path_factory.mktemp("words")
    samples = [(PNG if number % 2 else JPG, label) for number, label in enumerate(labels)]
    written = FORMATS[name].write(samples, out)
    for path in (written, out):
        words, file = detect(path)
        assert words is FORMATS[name]
        source = words.read(file)
        assert list(source.labels) == [normalize_label(label) for label in labels]
        assert [source.image_bytes(index) for index in range(len(source))] == [data for data, _ in samples]
        assert pickle.loads(pickle.dumps(source)).image_bytes(0) == samples[0][0]


@pytest.mark.parametrize("name", ["paddleocr-rec", "icdar-words", "space-tags"])
def test_a_line_break_is_refused_where_it_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="line break"):
        FORMATS[name].write([(PNG, "two\nlines")], tmp_path)


def test_icdar_words_with_bom_crlf_commas_and_escaped_quotes(tmp_path: Path) -> None:
    put(tmp_path, "gt.txt", '\ufeffa.png, "READER\\""\r\nb.png, "\\"50%\\", off"\r\nimg/c.png, "a\\b"\r\n\r\n')
    source = read(tmp_path)
    assert source.labels == ['READER"', '"50%", off', "a\\b"]
    assert source.where(1).endswith("gt.txt:2 (b.png)")
    assert source.image_bytes(2) == PNG


def test_paddleocr_keeps_tabs_and_spaces_of_the_text_and_composes_it(tmp_path: Path) -> None:
    put(tmp_path, "rec_gt.txt", "a.png\t x\ty \nb.png\te\u0301\nimg\\c.png\t\n")
    source = read(tmp_path)
    assert source.labels == [" x\ty ", "é", ""]
    assert source.files[2] == "img/c.png"


def test_paddleocr_lists_of_images_share_their_text(tmp_path: Path) -> None:
    put(tmp_path, "rec_gt.txt", 'a.png\tone\n["b.png", "img/c.png"]\ttwo\n')
    source = read(tmp_path)
    assert source.files == ["a.png", "b.png", "img/c.png"]
    assert source.labels == ["one", "two", "two"] and source.lines == [1, 2, 2]


def test_paddleocr_detection_is_not_taken_for_recognition(tmp_path: Path) -> None:
    put(tmp_path, "Label.txt", 'a.png\t[{"transcription": "x", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}]\n')
    with pytest.raises(InputError, match="pages with polygons") as caught:
        open_source(str(tmp_path))
    assert "dataset crop" in str(caught.value.hint)
    (tmp_path / "Label.txt").write_text("nothing of any kind\n")
    with pytest.raises(InputError, match="found no word annotations"):
        open_source(str(tmp_path))


def test_space_tags_with_spaces_in_path_and_text(tmp_path: Path) -> None:
    put(tmp_path, "tags.txt", "a.png GENAXIS THEATRE\nmy word.png x\n")
    source = read(tmp_path)
    assert source.labels == ["GENAXIS THEATRE", "x"] and source.files[1] == "my word.png"


def test_doctr_names_are_below_images(tmp_path: Path) -> None:
    put(tmp_path / "images", "unused.txt", "")
    (tmp_path / "labels.json").write_text(json.dumps({"a.png": "A", "img/c.png": "two\nlines"}))
    source = read(tmp_path)
    assert source.labels == ["A", "two\nlines"] and source.image_bytes(1) == PNG


def test_mmocr_both_generations(tmp_path: Path) -> None:
    put(tmp_path / "0", "label.jsonl", '{"filename": "a.png", "text": "A"}\n\n{"text": "C", "filename": "img/c.png"}\n')
    entry = {"img_path": "img/c.png", "instances": [{"text": "C"}]}
    put(tmp_path / "1", "textrecog_train.json", json.dumps({"metainfo": {}, "data_list": [entry]}))
    assert read(tmp_path / "0").labels == ["A", "C"]
    assert read(tmp_path / "1").labels == ["C"] and read(tmp_path / "1").image_bytes(0) == PNG


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rec_gt.txt", "a.png\tA\nb.png B\nimg/c.png\tC\n", ["rec_gt.txt:2", "IMAGE<TAB>TEXT", "'b.png B'"]),
        ("gt.txt", 'a.png, "A"\nb.png, "B\nimg/c.png, "C"\n', ["gt.txt:2", 'IMAGE, "TEXT"']),
        ("tags.txt", "a.png A\n\nb.png\nimg/c.png C\n", ["tags.txt:3", "space"]),
        ("label.jsonl", '{"filename": "a.png", "text": "A"}\n{"filename": "b.png"\n' * 1
         + '{"filename": "a.png", "text": "A"}\n', ["label.jsonl:2", '"filename"']),
        ("rec_gt.txt", b"a.png\tA\nb.png\t\xe9t\xe9\nimg/c.png\tC\n", ["rec_gt.txt:2", "UTF-8", "0xe9"]),
        ("labels.json", '{"a.png": "A",\n"b.png": 3}', ["labels.json", "b.png", "int"]),
        ("labels.json", '{"a.png": "A",\n"b.png": "B"', ["labels.json:2", "JSON"]),
        ("labels.json", b'{"a.png": "A",\n"b.png": "\xff"}', ["labels.json:2", "UTF-8"]),
        ("textrecog.json", '{"data_list": [{"img_path": "a.png", "instances": []}]}', ["data_list[0]", "instances"]),
        ("notes.txt", "nothing to see\n", ["no word annotations"]),
        ("rec_gt.txt", "", ["no word annotations"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, words: list[str]
) -> None:
    put(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        open_source(str(tmp_path))
    assert all(word in caught.value.message for word in words), caught.value.message


def test_a_missing_image_is_reported_with_its_label_line(tmp_path: Path) -> None:
    source = read(put(tmp_path, "rec_gt.txt", "a.png\tA\ngone.png\tB\nnul\0.png\tC\n"))
    with pytest.raises(InputError, match=r"rec_gt\.txt:2 \(gone\.png\): the image .* is missing"):
        source.image_bytes(1)
    with pytest.raises(InputError, match=r"rec_gt\.txt:3"):
        source.image_bytes(2)


def test_several_label_files_are_ambiguous_until_one_is_named(tmp_path: Path) -> None:
    put(tmp_path, "rec_gt_train.txt", "a.png\tA\n")
    put(tmp_path, "rec_gt_test.txt", "b.png\tB\n")
    with pytest.raises(UsageError) as caught:
        open_source(str(tmp_path))
    assert f"paddleocr-rec:{tmp_path / 'rec_gt_test.txt'}" in str(caught.value.hint)
    assert open_source(f"paddleocr-rec:{tmp_path / 'rec_gt_test.txt'}").labels == ["B"]
    with pytest.raises(UsageError, match="2 label files"):
        open_source(f"paddleocr-rec:{tmp_path}")


def test_a_named_format_reads_what_sniffing_would_not(tmp_path: Path) -> None:
    put(tmp_path, "rec_gt.txt", "word_1\tA\n")
    assert open_source(f"paddleocr-rec:{tmp_path}").labels == ["A"]


@pytest.mark.parametrize(
    ("raw", "error", "word"),
    [
        ("nowhere", InputError, "no such file"),
        ("", InputError, "empty SPEC"),
        ("lmbd:nowhere", UsageError, "Did you mean 'lmdb'"),
        ("lmdb:nowhere", InputError, "nowhere"),
        ("synth:wrods", UsageError, "Did you mean 'words'"),
        ("synth:", UsageError, "synth:"),
        ("C:\\data", InputError, "no such file"),
    ],
)
def test_specs_that_name_nothing(raw: str, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        parse_spec(raw)


def test_an_existing_path_wins_over_a_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "lmdb:x", "rec_gt.txt", "a.png\tA\n")
    assert parse_spec("lmdb:x").format is None
    assert open_source("lmdb:x").labels == ["A"]
    assert parse_spec("synth:words").name == "words"
    with pytest.raises(UsageError, match="endless"):
        open_source("synth:words")
