"""Configure the synthetic streams of words and pages, and choose the charset, from the settings."""

from __future__ import annotations

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.config.settings import Settings, SynthSettings
from ocrctl.data.synth import SynthWordsConfig
from ocrctl.data.synth.pages.config import SynthPagesConfig
from ocrctl.data.synth.words.config import Split
from ocrctl.errors import UsageError
from ocrctl.text.charset import Charset


def choose_charset(settings: Settings, spec: ModelSpec) -> Charset:
    """Return the charset of the settings, or the architecture's (for synthetic Hangul: every syllable and the
    digits)."""
    if settings.data.charset:
        return Charset.load(settings.data.charset)
    if settings.synth.script == "hangul":
        return Charset("0123456789" + "".join(map(chr, range(0xAC00, 0xD7A4))))
    return Charset.load(spec.default_charset)


def synth_config(settings: Settings, spec: ModelSpec, charset: Charset, split: str) -> SynthWordsConfig:
    """Return the configuration of synth:words, limited to the charset and the output steps of the model. Raises
    UsageError when the lengths do not fit the model."""
    synth: SynthSettings = settings.synth
    if not synth.min_length <= synth.max_length <= spec.max_label_length:
        raise UsageError(
            f"synth.min_length {synth.min_length}, synth.max_length {synth.max_length}: {spec.name} requires "
            f"synth.min_length <= synth.max_length <= {spec.max_label_length}, its maximum label length."
        )
    base = SynthWordsConfig.real() if synth.style == "scene" else SynthWordsConfig.quickstart()
    fonts = synth.fonts
    return base.with_(
        seed=settings.seed, split=split, scripts=(synth.script,), alphabet=charset.chars, min_length=synth.min_length,
        max_length=synth.max_length,
        max_steps=output_steps(spec) if spec.tokenizer == "ctc" else 0,
        random_share=synth.random_share, strength=synth.strength,
        system_fonts=fonts == "system", fonts=(fonts,) if fonts and fonts != "system" else (),
    )  # fmt: skip


def pages_config(settings: Settings, split: Split, *, height: int = 0, width: int = 0) -> SynthPagesConfig:
    """Return the configuration of synth:pages with (height, width) pixels, in training the input size; 0: a size that
    suits each kind of page.

    Raises UsageError when a size is below 64 or above 4096 pixels.
    """
    synth = settings.synth
    return SynthPagesConfig(
        seed=settings.seed, split=split, height=height, width=width, scripts=(synth.script,),
        backgrounds=synth.backgrounds or "", strength=synth.strength,
        system_fonts=synth.fonts == "system", fonts=(synth.fonts,) if synth.fonts and synth.fonts != "system" else (),
    )  # fmt: skip
