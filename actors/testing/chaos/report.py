"""How an exploration went: what ``--json`` writes, and what people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of one seed.

    Attributes:
        seed: it.
        broken: what does not hold: a sentence by invariant; empty where all is well.
        digest: of its trace.
        faults: how often each kind took effect.
        kills: processes that a signal ended.
        restarts: processes started after the first ones.
        seconds: of real time.
        virtual: of virtual time.
        memory: bytes that its process then had in memory.
        process: which of them it was.
    """

    seed: int
    broken: dict[str, str] = {}
    digest: str = ""
    faults: dict[str, int] = {}
    kills: int = 0
    restarts: int = 0
    seconds: float = 0.0
    virtual: float = 0.0
    memory: int = 0
    process: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule under which something does not hold, made as short as was found.

    Attributes:
        seed: from which the schedule was drawn.
        broken: what does not hold: a sentence by invariant.
        plan: the shortened schedule, as TOML.
        faults: of the shortened schedule.
        drawn: faults of the one that was drawn.
        plays: that shortening took.
        digest: of the trace of the shortened schedule.
        story: the last events under it, oldest first.
    """

    seed: int
    broken: dict[str, str]
    plan: str
    faults: int
    drawn: int
    plays: int
    digest: str
    story: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How an exploration went.

    Attributes:
        seeds: how many schedules were played.
        failed: those under which something did not hold.
        seconds: of real time.
        faults: how often each kind took effect.
        kills: processes that a signal ended.
        restarts: processes started after the first ones.
        digests: number of distinct traces.
        growth: bytes that the process which grew most has grown by in the second half of its seeds.
    """

    seeds: int
    failed: tuple[Failed, ...]
    seconds: float
    faults: Mapping[str, int]
    kills: int
    restarts: int
    digests: int
    growth: int = 0

    @classmethod
    def of(cls, played: list[Played], failed: list[Failed], seconds: float) -> Report:
        """Sum up."""
        faults: Counter[str] = Counter()
        for each in played:
            faults.update(each.faults)
        return cls(
            seeds=len(played),
            failed=tuple(sorted(failed, key=lambda each: each.seed)),
            seconds=round(seconds, 3),
            faults=dict(sorted(faults.items())),
            kills=sum(each.kills for each in played),
            restarts=sum(each.restarts for each in played),
            digests=len({each.digest for each in played if each.digest}),
            growth=_growth(played),
        )

    def summary(self) -> dict[str, Any]:
        """What ``--json`` ends with."""
        return {
            "seeds": self.seeds,
            "failed": [each.seed for each in self.failed],
            "seconds": self.seconds,
            "faults": dict(self.faults),
            "kills": self.kills,
            "restarts": self.restarts,
            "digests": self.digests,
        }


def _growth(played: list[Played]) -> int:
    most = 0
    for process in {each.process for each in played}:
        memory = [each.memory for each in played if each.process == process]
        # Its beginning grows: caches fill, and the allocator takes what it will keep.
        half = memory[len(memory) // 2 :]
        if len(half) > 1:
            most = max(most, half[-1] - half[0])
    return most
