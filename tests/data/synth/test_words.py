"""The stream: pure in (seed, index) anywhere, drawn with real glyphs, every effect on, legible, fast enough."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.data.synth import SynthWords, SynthWordsConfig
from ocrctl.data.synth.words.config import EFFECTS
from ocrctl.data.synth.words.fonts import bundled_folders, find_fonts
from ocrctl.data.synth.words.typeface import Typeface, open_typeface
from ocrctl.errors import InputError, UsageError

CONFIGS = {
    "quickstart": SynthWordsConfig.quickstart(seed=3, split="train"),
    "real": SynthWordsConfig.real(seed=3),
    "hangul": SynthWordsConfig.quickstart(seed=3, scripts=("hangul",), min_length=1),
}


def digest(stream: SynthWords, indices: list[int]) -> str:
    total = hashlib.sha256()
    for index in indices:
        image, label = stream.sample(index)
        total.update(repr((index, image.shape, label)).encode() + image.tobytes())
    return total.hexdigest()


def digest_in_child(pickled: bytes, indices: list[int], queue: multiprocessing.Queue[str]) -> None:
    queue.put(digest(pickle.loads(pickled), indices))


@pytest.mark.parametrize("name", CONFIGS)
def test_same_bytes_in_any_order_from_any_copy(name: str) -> None:
    stream = SynthWords(CONFIGS[name])
    images = {index: stream.sample(index) for index in (7, 2, 40, 2, 0)}
    other = pickle.loads(pickle.dumps(stream))
    other.sample(999)
    for index, (image, label) in sorted(images.items()):
        again, same = other.sample(index)
        assert label == same == stream.label(index)
        np.testing.assert_array_equal(image, again)
    assert len({image.tobytes() for image, _ in images.values()}) == 4


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_same_bytes_in_another_process(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    stream, indices = SynthWords(CONFIGS["real"]), list(range(25))
    here = digest(stream, indices)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=digest_in_child, args=(pickle.dumps(stream), indices, queue))
    child.start()
    assert queue.get(timeout=60) == here
    child.join()


def test_pickle_carries_the_settings_alone() -> None:
    stream = SynthWords(CONFIGS["hangul"])
    stream.sample(0)
    assert len(pickle.dumps(stream)) < 2000


def test_seeds_and_indices_differ() -> None:
    streams = [SynthWords(SynthWordsConfig.quickstart(seed=seed)) for seed in range(4)]
    assert len({stream.label(index) for stream in streams for index in range(50)}) > 180


@pytest.mark.parametrize("name", CONFIGS)
def test_images_are_rgb_of_the_asked_height_and_never_blank(name: str) -> None:
    stream = SynthWords(CONFIGS[name])
    low, high = stream.config.min_height, stream.config.max_height
    faint = 0
    for index in range(300):
        image, label = stream.sample(index)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
        assert low <= image.shape[0] <= 2 * high and 8 <= image.shape[1] <= 2048
        assert set(label) <= set(stream.charset)
        faint += float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).std()) < 4.0
    assert faint <= 3


def test_every_effect_happens_and_can_be_switched_off() -> None:
    seen: set[str] = set()
    stream = SynthWords(CONFIGS["quickstart"])
    seen.update(*(stream.sample_details(index)[2] for index in range(600)))
    assert seen == set(EFFECTS)
    bare = SynthWords(CONFIGS["quickstart"].with_(disable=EFFECTS))
    assert not any(bare.sample_details(index)[2] for index in range(50))
    clean = SynthWords(CONFIGS["quickstart"].with_(strength=0.0))
    assert not any(clean.sample_details(index)[2] for index in range(50))
    no_jpeg = SynthWords(CONFIGS["quickstart"].with_(disable=("jpeg",)))
    assert not any("jpeg" in no_jpeg.sample_details(index)[2] for index in range(100))


def test_several_typefaces_arrive_with_the_dependencies() -> None:
    assert len(bundled_folders()) >= 8
    fonts = find_fonts()
    assert len({font.family for font in fonts}) >= 10
    hangul = [font for font in fonts if ord("한") in open_typeface(font.path).cmap]
    assert len(hangul) >= 2


def test_no_character_is_drawn_as_a_box() -> None:
    """What the face draws is in its cmap and differs from its image of a missing character."""
    for font in find_fonts():
        face = open_typeface(font.path)
        assert face.draws("09") and not face.draws("a\uffff")
        box = bytes(face._font.getmask2("\uffff", "L", anchor="ls")[0])
        for char in "aZ7@한":
            glyph = face.glyph(char)
            assert (glyph is not None) == (ord(char) in face.cmap)
            assert glyph is None or glyph.ink.tobytes() != box or not any(box)


def test_small_capitals_are_not_used_for_lower_case() -> None:
    amatic = [font for font in find_fonts() if font.family == "AmaticSC"]
    assert amatic
    for font in amatic:
        assert open_typeface(font.path).unicase and open_typeface(font.path).draws("ABC7")
        assert not open_typeface(font.path).draws("abc")
    assert sum(open_typeface(font.path).unicase for font in find_fonts()) == len(amatic)


def test_own_fonts_alone_and_missing_ones(tmp_path: Path) -> None:
    font = next(font for font in find_fonts() if font.family == "DejaVuSans")
    stream = SynthWords(SynthWordsConfig.quickstart(fonts=(font.path,), bundled_fonts=False))
    assert stream.sample(1)[0].size
    with pytest.raises(InputError, match="no font file"):
        SynthWords(SynthWordsConfig(fonts=(str(tmp_path),))).sample(0)
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"not a font at all")
    with pytest.raises(InputError, match=r"broken\.ttf"):
        Typeface(str(broken))
    with pytest.raises(UsageError, match="no font draws"):
        SynthWords(SynthWordsConfig(alphabet="\ue000\ue001", random_share=1.0, number_share=0.0, digits=False)).sample(
            0
        )


def test_drawing_imports_no_heavy_package() -> None:
    code = (
        "import sys; from ocrctl.data.synth import SynthWords; SynthWords().sample(0);"
        "print([m for m in ('torch', 'matplotlib', 'wordfreq', 'koreanize_matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_word_is_drawn_in_far_less_time_than_a_training_step_takes() -> None:
    stream = SynthWords(CONFIGS["quickstart"])
    for index in range(300):
        stream.sample(index)
    start = time.process_time()
    for index in range(1000, 1300):
        stream.sample(index)
    assert (time.process_time() - start) / 300 < 0.004  # about 0.5 ms; eight times that on a slow, busy machine


@pytest.mark.parametrize("config", [SynthWordsConfig.quickstart(), SynthWordsConfig.real(scripts=("latin", "hangul"))])
def test_the_size_of_a_word_is_known_without_drawing_it(config: SynthWordsConfig) -> None:
    stream = SynthWords(config)
    for index in range(300):
        image, label = stream.sample(index)
        assert stream.size(index) == (image.shape[:2], label)
