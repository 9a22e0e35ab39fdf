"""Synthetic words: an endless, seeded stream of rendered text for training and checking recognisers."""

from ocrctl.data.synth.words.config import SynthWordsConfig
from ocrctl.data.synth.words.stream import SynthWords

__all__ = ["SynthWords", "SynthWordsConfig"]
