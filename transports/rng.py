"""Randomness as an argument: real for production, seeded and derivable for reproducible runs."""

from __future__ import annotations

import hashlib
import random
import secrets
from typing import Protocol


class Rng(Protocol):
    """A source of random numbers from which independent ones can be derived."""

    def bits(self, n: int) -> int:
        """A uniform integer in ``[0, 2**n)``; ``n`` >= 1."""
        ...

    def uniform(self, a: float, b: float) -> float:
        """A uniform float in ``[a, b]``; ``a`` <= ``b``."""
        ...

    def derive(self, *purpose: str | int) -> Rng:
        """An independent source for one purpose; the same purpose gives the same source."""
        ...


class SystemRng:
    """The operating system's randomness: unpredictable, never the same twice."""

    __slots__ = ()

    def bits(self, n: int) -> int:
        """A uniform integer in ``[0, 2**n)``."""
        return secrets.randbits(n)

    def uniform(self, a: float, b: float) -> float:
        """A uniform float in ``[a, b]``."""
        return secrets.SystemRandom().uniform(a, b)

    def derive(self, *purpose: str | int) -> SystemRng:
        """Itself: there is nothing to reproduce."""
        return self

    def __repr__(self) -> str:
        return "<SystemRng>"


class SeededRng:
    """Reproducible randomness: equal seeds and purposes give equal numbers in every process.

    Purposes are hashed with SHA-256 over a length-prefixed encoding, so neither PYTHONHASHSEED nor
    the way a purpose is cut into words matters by accident: ("ab", "c") differs from ("a", "bc"),
    and the string "1" from the number 1. Deriving draws nothing from the parent.

    Args:
        seed: any integer.
    """

    __slots__ = ("_random", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)

    @property
    def seed(self) -> int:
        """The seed this source started from."""
        return self._seed

    def bits(self, n: int) -> int:
        """A uniform integer in ``[0, 2**n)``."""
        return self._random.getrandbits(n)

    def uniform(self, a: float, b: float) -> float:
        """A uniform float in ``[a, b]``."""
        return self._random.uniform(a, b)

    def derive(self, *purpose: str | int) -> SeededRng:
        """An independent source for one purpose.

        Args:
            *purpose: words and numbers that name it, e.g. ``("jitter", "worker-3")``.
        """
        return SeededRng(derive_seed(self._seed, *purpose))

    def __repr__(self) -> str:
        return f"<SeededRng seed={self._seed}>"


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 64-bit seed for one purpose of a run.

    Args:
        seed: seed of the run, any integer.
        *purpose: words and numbers that name the purpose.

    Returns:
        An integer in ``[0, 2**64)``, the same on every machine and in every process.
    """
    digest = hashlib.sha256(f"i{seed};".encode())
    for part in purpose:
        if isinstance(part, str):
            text = part.encode()
            digest.update(b"s%d:%b;" % (len(text), text))
        else:
            digest.update(b"i%d;" % part)
    return int.from_bytes(digest.digest()[:8], "big")
