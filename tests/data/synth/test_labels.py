"""Labels: lengths, characters, split, share of random strings, letter cases, refusals."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from ocrctl.data.synth.words.config import DIGITS, LOWER, PUNCTUATION, UPPER, SynthWordsConfig
from ocrctl.data.synth.words.labels import Labels, in_val, split_key
from ocrctl.data.synth.words.vocabulary import dictionary, word_list
from ocrctl.errors import InputError, UsageError


def draw(config: SynthWordsConfig, count: int = 1500) -> list[str]:
    labels, r = Labels(config), Random(5)
    return [labels.draw(r) for _ in range(count)]


@pytest.mark.parametrize("split", [None, "train", "val"])
def test_quickstart_labels_keep_lengths_charset_and_random_share(split: str | None) -> None:
    texts = draw(SynthWordsConfig.quickstart(split=split))
    assert all(3 <= len(text) <= 10 for text in texts)
    assert set("".join(texts)) == set(LOWER + DIGITS)
    known = set(dictionary("latin"))
    assert sum(text not in known for text in texts) >= 0.3 * len(texts)


def test_train_and_val_never_share_a_word() -> None:
    train = set(draw(SynthWordsConfig.quickstart(split="train"), 4000))
    val = set(draw(SynthWordsConfig.quickstart(split="val"), 4000))
    assert not train & val
    scene = {split_key(t) for t in draw(SynthWordsConfig.real(split="val"))}
    assert not {key for key in scene if len(key) > 2} & {
        split_key(t) for t in draw(SynthWordsConfig.real(split="train"), 4000)
    }


def test_split_looks_at_letters_and_digits_without_case() -> None:
    assert in_val("Hello", 0.1) == in_val("(HELLO!)", 0.1)
    assert {in_val("hello", 0.0), in_val("hello", 1.0)} == {False, True}
    share = sum(in_val(word, 0.1) for word in dictionary("latin")[:20_000]) / 20_000
    assert 0.09 < share < 0.11


def test_a_small_split_keeps_every_character() -> None:
    singles = set(draw(SynthWordsConfig.quickstart(split="val", min_length=1, max_length=1, random_share=0.9), 2000))
    assert singles == set(LOWER + DIGITS)


def test_scene_labels_mix_cases_numbers_and_punctuation() -> None:
    config = SynthWordsConfig.real()
    texts = draw(config, 8000)
    assert set("".join(texts)) == set(LOWER + UPPER + DIGITS + PUNCTUATION) == set(Labels(config).charset)
    assert all(1 <= len(text) <= 25 for text in texts)
    letters = [text for text in texts if any(map(str.isalpha, text))]
    assert 0.35 < sum(text.isupper() for text in letters) / len(letters) < 0.65
    assert sum(any(c in PUNCTUATION for c in text) for text in texts) > 0.08 * len(texts)


@pytest.mark.parametrize("alphabet", ["0123456789", "ABCDEF", LOWER + DIGITS, "aăâđêôơư", "xyz!"])
def test_alphabet_bounds_every_label(alphabet: str) -> None:
    config = SynthWordsConfig.real(alphabet=alphabet)
    assert set("".join(draw(config, 1000))) <= set(alphabet)
    assert set(Labels(config).charset) == set(alphabet)


def test_hangul_words_are_composed_syllables() -> None:
    texts = draw(SynthWordsConfig.quickstart(scripts=("hangul",), min_length=1))
    syllables = [c for text in texts for c in text if c not in DIGITS]
    assert syllables and all("가" <= c <= "힣" for c in syllables)
    assert len(set(syllables)) > 800


def test_excluded_words_are_never_drawn() -> None:
    usual = set(draw(SynthWordsConfig.quickstart(), 800))
    assert not usual & set(draw(SynthWordsConfig.quickstart(exclude=tuple(w.upper() for w in usual)), 800))


def test_own_word_list_is_drawn_as_written(tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffGrüße\n\nstraße\ncafe\u0301\n", encoding="utf-8")
    assert word_list(str(path)) == ("Grüße", "straße", "café")
    config = SynthWordsConfig(words=str(path), random_share=0.0, number_share=0.0, alphabet="Grüßestacfé")
    assert set(draw(config, 200)) == {"Grüße", "straße", "café"}


def test_word_list_errors_name_the_file(tmp_path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    with pytest.raises(InputError, match=r"empty\.txt"):
        word_list(str(empty))
    with pytest.raises(InputError, match=r"absent\.txt"):
        word_list(str(tmp_path / "absent.txt"))


def test_impossible_settings_end_in_a_sentence_not_a_loop() -> None:
    with pytest.raises(UsageError, match="no label fits"):
        draw(SynthWordsConfig.quickstart(alphabet="a", exclude=("aaa", "aaaa"), max_length=4), 50)
    with pytest.raises(UsageError, match="has no letter"):
        draw(SynthWordsConfig.real(alphabet="!?"), 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_length": 0},
        {"min_length": 9, "max_length": 8},
        {"strength": 1.5},
        {"split": "test"},
        {"scripts": ()},
        {"disable": ("sparkle",)},
        {"random_share": 0.9, "number_share": 0.2},
        {"lower": 0.0},
        {"max_height": 500},
        {"bundled_fonts": False},
    ],
)
def test_settings_are_refused_when_made(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"synth\."):
        SynthWordsConfig(**wrong)  # type: ignore[arg-type]


def test_no_label_needs_more_ctc_steps_than_the_model_has() -> None:
    config = SynthWordsConfig(alphabet="ab", min_length=8, max_length=12, random_share=0.9, max_steps=13)
    labels = draw(config, 200)
    assert max(len(label) + sum(a == b for a, b in pairwise(label)) for label in labels) <= 13
    assert max(map(len, labels)) > 8
