"""Choices that follow from a seed alone, whatever else happens meanwhile."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Dice:
    """Each choice has a name, and the same seed and name choose the same."""

    seed: int

    def share(self, *name: object) -> float:
        """Return a number from 0 up to 1."""
        text = "/".join(map(str, (self.seed, *name)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48

    def between(self, least: float, most: float, *name: object) -> float:
        """Return a number between two others."""
        return least + (most - least) * self.share(*name)

    def pick(self, options: Sequence[T], *name: object) -> T:
        """Return one of several."""
        return options[int(self.share(*name) * len(options))]

    def shuffled(self, options: Sequence[T], *name: object) -> list[T]:
        """Return all of them in another order."""
        places = sorted(range(len(options)), key=lambda place: self.share(*name, place))
        return [options[place] for place in places]
