"""Where the texts of `--ngram` come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrctl.data.formats.spec import open_source
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.ngram_texts import load_ngram, texts_of
from ocrctl.text.charset import Charset

CHARSET = Charset("abcdefghijklmnopqrstuvwxyz")


def test_a_file_holds_one_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("ab\n\nabc d\n", "utf-8")
    assert list(texts_of(str(path))) == ["ab", "abc d"]


def test_the_labels_of_a_spec(word_folder: Path) -> None:
    wanted = list(open_source(str(word_folder)).labels)
    for spec in (word_folder, word_folder / "rec_gt.txt", f"paddleocr-rec:{word_folder}"):
        assert list(texts_of(str(spec))) == wanted


def test_english_words_in_three_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = list(texts_of("english"))
    assert texts[:3] == ["the", "The", "THE"] and len(texts) == 60_000
    Path("english").write_text("own\n", "utf-8")
    assert len(list(texts_of("english"))) == 60_000 and list(texts_of("./english")) == ["own"]


def test_the_english_model_prefers_words() -> None:
    model = load_ngram(["english"], CHARSET)
    assert model.log_probability("coffee") > model.log_probability("coffce") + 5
    assert model.frame("coffee 2 go") == "\0 2 \0"


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text("1\tabc\n2\tdef\n", "utf-8")
    with pytest.raises(InputError, match=r"labels.tsv: expected one text a line, found a tab in 2 of 2 line") as caught:
        texts_of(str(labels))
    assert caught.value.hint == "for the labels of a dataset, name its format: FORMAT:PATH"
    for missing in (str(tmp_path / "nowhere"), "lmdb:nowhere"):
        with pytest.raises((InputError, UsageError), match="nowhere"):
            texts_of(missing)
    empty = tmp_path / "empty.txt"
    empty.write_text("\n", "utf-8")
    with pytest.raises(
        InputError, match=r"empty.txt: expected texts with characters of the model's charset, found none"
    ):
        load_ngram([str(empty)], CHARSET)
