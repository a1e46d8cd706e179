"""Seeds: what is drawn depends on (run seed, worker, clock, purpose) and on nothing else.

So a worker that is killed and computes a clock again draws the same numbers, in another process or
on another machine, whatever was drawn before.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Final

import numpy as np

#: The greatest seed: it travels as a signed 64-bit integer, the widest that TOML promises.
SEED_MAX: Final = 2**63 - 1


def seed_for(run_seed: int, worker: str, clock: int, purpose: str) -> int:
    """Derive the seed for one piece of work.

    Args:
        run_seed: The seed of the run; any integer.
        worker: Name of the worker; empty for what all share.
        clock: The clock, from 0.
        purpose: What is drawn: ``init``, ``pool``, ``partition``, ``data``, ``split``, ``select``,
            ``fit``, ``compress/<term>``, ...

    Returns:
        An integer in [0, 2^63): the leading bits of the SHA-256 of the four, so seeds of different
        work are unrelated and the same on every platform and version.
    """
    # JSON is injective here: no worker's name can imitate another (worker, clock).
    text = json.dumps(["actorfl-seed-1", run_seed, worker, clock, purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the process-wide generators of torch, numpy and random.

    They are shared by all threads, so only the training lane calls this.

    Args:
        seed: In [0, 2^64); torch's generator for the CPU takes the lower 32 bits.
    """
    import torch

    random.seed(seed)
    # NPY002: user code may draw from numpy's global generator; it takes words of 32 bits.
    np.random.seed([seed & 0xFFFF_FFFF, seed >> 32])  # noqa: NPY002
    # Not torch.manual_seed: for devices that are not there it keeps the call and a traceback of it
    # for later, each time anew, so that a long run grows (torch 2.13, torch.cuda._lazy_call).
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
