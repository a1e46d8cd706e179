"""Two of ten workers send what is false: what is left of the accuracy, by merging rule.

Digits, one epoch a round, 50 rounds. Sign flips send the start minus five times the update; noise
sends the trained model plus draws from N(0, 10^2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from actorfl import Algorithm, Ctx, FedAvg, Median, Mine, Terms, TrimmedMean
from actorfl.layout import Vector
from actorfl.seeds import seed_for
from actorfl.sweep import Spread
from benchmarks.reproduce.digits import PARTITIONS, SEEDS, WITHIN, Case
from benchmarks.reproduce.gates import Row
from benchmarks.reproduce.running import spread_over

ROUNDS = 50
ATTACKERS = frozenset({"w0", "w1"})
Attack = Literal["none", "flip", "noise"]
ATTACKS: tuple[Attack, ...] = ("none", "flip", "noise")


@dataclass(frozen=True)
class Attacked(Algorithm):
    """Falsifies what two workers send, before an algorithm makes its terms of it.

    Args:
        attack: "flip" or "noise"; "none" leaves all as they are.
        seed: from which the noise is drawn.
    """

    attack: Attack = "none"
    seed: int = 0

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        if self.attack != "none" and ctx.worker in ATTACKERS:
            ctx = replace(ctx, weights=self._false(ctx))
        return super().up(ctx, mine)

    def _false(self, ctx: Ctx) -> Vector:
        if self.attack == "flip":
            return ctx.start - np.float32(5) * ctx.delta
        draw = np.random.default_rng(seed_for(self.seed, ctx.worker, ctx.clock, "attack"))
        return ctx.result + np.float32(10) * draw.standard_normal(ctx.result.size, np.float32)


@dataclass(frozen=True)
class AttackedMean(Attacked, FedAvg):
    """The mean."""


@dataclass(frozen=True)
class AttackedMedian(Attacked, Median):
    """The median of each coordinate."""


@dataclass(frozen=True)
class AttackedTrimmedMean(Attacked, TrimmedMean):
    """The mean of each coordinate without the lowest and highest two."""

    trim: int = 2


#: By rule and partition: accuracy with no attack, sign flips, noise.
ACCURACY: Mapping[tuple[str, str], tuple[float, float, float]] = {
    ("mean", "IID"): (0.942, 0.097, 0.192),
    ("trimmed mean", "IID"): (0.942, 0.919, 0.933),
    ("median", "IID"): (0.939, 0.922, 0.931),
    ("mean", "shard2"): (0.917, 0.097, 0.256),
    ("trimmed mean", "shard2"): (0.811, 0.578, 0.703),
    ("median", "shard2"): (0.753, 0.506, 0.669),
}
RULES: Mapping[str, type[AttackedMean | AttackedMedian | AttackedTrimmedMean]] = {
    "mean": AttackedMean,
    "trimmed mean": AttackedTrimmedMean,
    "median": AttackedMedian,
}


def rows(jobs: int) -> list[Row]:
    """Carry out all runs, so many at a time."""
    cases = {
        (rule, part, attack, seed): Case(
            RULES[rule](attack=attack, seed=seed), PARTITIONS[part], 1, ROUNDS, seed
        )
        for seed in range(SEEDS)
        for rule, part in ACCURACY
        for attack in ATTACKS
    }
    found = spread_over(Case.curve, list(cases.values()), jobs)
    last = dict(zip(cases, (curve.after(ROUNDS) for curve in found), strict=True))
    rows: list[Row] = []
    for (rule, part), expected in ACCURACY.items():
        for attack, reference in zip(ATTACKS, expected, strict=True):
            values = [last[rule, part, attack, seed] for seed in range(SEEDS)]
            # The mean is at chance under attack, and what is left under shard2 is that of a seed.
            spoilt = rule == "mean" and attack != "none"
            gate = WITHIN if part == "IID" and not spoilt else None
            spread = Spread.of(values)
            what = f"{rule} {part}, {attack}"
            rows.append(Row(what, spread.mean, reference, gate, sd=spread.sd))
    return rows
