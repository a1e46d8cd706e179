"""What a node has of the outside: time, randomness, storage, processes. All of it is injected."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.spawner import PopenSpawner, Spawner
from actors.storage import Storage
from transports import Clock, Limits, LoopClock, Rng, SystemRng


@dataclass
class World:
    """The real world by default; simulations and tests bring their own.

    Attributes:
        clock: reads time and sets timers.
        rng: draws incarnations, uids and jitter.
        spawner: starts processes.
        storage: keeps snapshots; None where no actor needs any.
        limits: bounds of the transports.
    """

    clock: Clock = field(default_factory=LoopClock)
    rng: Rng = field(default_factory=SystemRng)
    spawner: Spawner = field(default_factory=PopenSpawner)
    storage: Storage | None = None
    limits: Limits = field(default_factory=Limits)
