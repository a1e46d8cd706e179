"""What a node has of the outside: time, randomness, storage, processes. All of it is injected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from actors.addresses import Addresses, IpcAddresses
from actors.faults.links import FaultyLinks
from actors.faults.moment import Moments
from actors.faults.noise import Corruption
from actors.liveness import INTERVAL
from actors.spawner import PopenSpawner, Spawner
from actors.storage import Storage
from actors.work import Work
from transports import Clock, Context, Limits, LoopClock, Rng, SystemRng


@dataclass
class World:
    """The real world by default; simulations and tests bring their own.

    Attributes:
        clock: reads time and sets timers.
        rng: draws incarnations, uids and jitter.
        spawner: starts processes.
        storage: keeps snapshots; None where no actor needs any.
        limits: bounds of the transports.
        context: where sockets come from; None for ZeroMQ's own context of this process.
        addresses: where a launcher and its processes listen.
        work: carries out long computations; None where threads do.
        faults: what happens to messages from other nodes; None where nothing does.
        noise: what damages frames from other nodes; None where nothing does.
        fault_counts: how often each kind of fault took effect here; in a simulation, anywhere.
        counts_shared: whether all nodes have these counts in common, as in a simulation.
        moments: those of a fault plan that have come; in a simulation all nodes have them in
            common.
        heartbeat: seconds between two questions of a launcher to each of its processes.
    """

    clock: Clock = field(default_factory=LoopClock)
    rng: Rng = field(default_factory=SystemRng)
    spawner: Spawner = field(default_factory=PopenSpawner)
    storage: Storage | None = None
    limits: Limits = field(default_factory=Limits)
    context: Context | None = None
    addresses: Addresses = field(default_factory=IpcAddresses)
    work: Work | None = None
    faults: FaultyLinks | None = None
    noise: Corruption | None = None
    fault_counts: Counter[str] = field(default_factory=Counter)
    counts_shared: bool = False
    moments: Moments = field(default_factory=Moments)
    heartbeat: float = INTERVAL
