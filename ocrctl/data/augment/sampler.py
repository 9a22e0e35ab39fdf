"""Sample which effects are applied: one draw each, scaled by a strength, switched off by name, and recorded."""

from __future__ import annotations

from random import Random


class EffectSampler:
    """Sampler for one image. `applied` lists the effects that were applied, in order."""

    __slots__ = ("applied", "off", "r", "random", "strength")

    def __init__(self, r: Random, strength: float, off: frozenset[str] = frozenset()) -> None:
        self.r = r
        self.random = r.random
        self.strength = strength
        self.off = off
        self.applied: list[str] = []

    def on(self, name: str, chance: float) -> bool:
        """Return whether to apply `name`, with probability `chance` times the strength."""
        if self.random() >= chance * self.strength or name in self.off:
            return False
        self.applied.append(name)
        return True

    def between(self, low: float, high: float) -> float:
        """Sample uniformly from low..high."""
        return low + (high - low) * self.random()

    def jitter(self, reach: float) -> float:
        """Sample from -reach..reach, more often near 0."""
        return reach * (self.random() + self.random() - 1.0)

    def whole(self, low: int, high: int) -> int:
        """Sample a whole number uniformly from low..high, both ends included."""
        return low + int((high - low + 1) * self.random())
