"""From the settings `synth.*` to those of the stream of pages."""

from __future__ import annotations

from ocrctl.config.settings import Settings
from ocrctl.data.synth.pages.config import SynthPagesConfig
from ocrctl.data.synth.words.config import Split


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
