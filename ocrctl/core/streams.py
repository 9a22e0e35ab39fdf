"""From settings to those of the synthetic streams of words and pages."""

from __future__ import annotations

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings, SynthSettings
from ocrctl.data.synth import SynthWordsConfig
from ocrctl.data.synth.pages.config import SynthPagesConfig
from ocrctl.data.synth.words.config import Split
from ocrctl.errors import UsageError
from ocrctl.text.charset import Charset


def choose_charset(settings: Settings, spec: ModelSpec) -> Charset:
    """The charset asked for, or the architecture's (for synthetic Hangul: every syllable and the digits)."""
    if settings.data.charset:
        return Charset.load(settings.data.charset)
    if settings.synth.script == "hangul":
        return Charset("0123456789" + "".join(map(chr, range(0xAC00, 0xD7A4))))
    return Charset.load(spec.default_charset)


def synth_config(settings: Settings, spec: ModelSpec, charset: Charset, split: str) -> SynthWordsConfig:
    """The stream's own settings: those of `synth.*`, kept inside the charset and the model's output steps."""
    synth: SynthSettings = settings.synth
    if not synth.min_length <= synth.max_length <= spec.max_label_length:
        raise UsageError(
            f"synth.min_length {synth.min_length}, synth.max_length {synth.max_length}: {spec.name} needs "
            f"synth.min_length <= synth.max_length <= {spec.max_label_length}, its longest label."
        )
    base = SynthWordsConfig.real() if synth.style == "scene" else SynthWordsConfig.quickstart()
    fonts = synth.fonts
    return base.with_(
        seed=settings.seed, split=split, scripts=(synth.script,), alphabet=charset.chars, min_length=synth.min_length,
        max_length=synth.max_length,
        max_steps=spec.output_steps() if spec.tokenizer == "ctc" else 0,
        random_share=synth.random_share, strength=synth.strength,
        system_fonts=fonts == "system", fonts=(fonts,) if fonts and fonts != "system" else (),
    )  # fmt: skip


def pages_config(settings: Settings, split: Split, *, height: int = 0, width: int = 0) -> SynthPagesConfig:
    """Pages of (height, width) pixels, for training the network's input size; 0: sizes that suit each kind of page.

    Raises UsageError when a size is below 64 or above 4096 pixels.
    """
    synth = settings.synth
    return SynthPagesConfig(
        seed=settings.seed, split=split, height=height, width=width, scripts=(synth.script,),
        backgrounds=synth.backgrounds or "", strength=synth.strength,
        system_fonts=synth.fonts == "system", fonts=(synth.fonts,) if synth.fonts and synth.fonts != "system" else (),
    )  # fmt: skip
