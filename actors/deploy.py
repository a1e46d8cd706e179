"""Where a graph runs: the one argument that changes between a laptop and a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from actors.errors import UsageError
from actors.exponential import Exponential
from actors.faults.kinds import Torn
from actors.faults.plan import FaultPlan
from actors.liveness import INTERVAL
from actors.names import check_name
from actors.quantities import is_count, is_finite, is_seconds
from actors.suggest import shown
from transports.sim import MAX_STEPS, Net, Nets, SimLoop

LAN = Net(delay=2e-4, jitter=1e-3, bandwidth=1.25e8)
"""A local network of 1 Gbit/s whose switches are a little busy."""

NO_FAULTS = FaultPlan()

Compute = float | Exponential | Callable[[str, float | None], float]
"""Virtual seconds of a job: always as many, drawn for each, or a function of the node's name and
the job's size (None where that is not known; of a fit it is the examples that it goes through)."""

_STEPS_OF: Final = 1_000
"""Nodes for which a loop's usual budget of steps is meant; more of them get more."""


@dataclass(frozen=True)
class Process:
    """Places an actor, or all of a supervisor's children, in processes.

    Attributes:
        name: of the process; without it the actor goes to one of the n worker processes of
            ``Processes(n)``, dealt out in order. ``p0``, ``p1``, … are those; any other name
            makes a process of that name.
    """

    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)


@dataclass(frozen=True)
class Inline:
    """Everything in this process: placements are ignored."""

    def __str__(self) -> str:
        return "inline"


@dataclass(frozen=True)
class Processes:
    """n worker processes on this machine, plus one for each name that a placement gives.

    Args:
        n: worker processes, at least 1; they are named p0, p1, …
        env: environment variables by process or actor name, laid over the launcher's; an actor's
            go to the process that holds it.
        faults: what shall go wrong in them, for tests; None for nothing.
        over: "ipc", sockets in a private directory, or "tcp", ports of the loopback interface.
        spare: processes kept in reserve, 0 to n: started ahead and loaded, so that one takes the
            place of a process that died without the time of a start. A spare has the environment
            that most processes have, and replaces only those.
        preload: names of modules that a spare imports ahead, as in ``("torch",)``; what is not
            among them is loaded after it was taken, as in any process.
    """

    n: int
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    faults: FaultPlan | None = None
    over: Literal["ipc", "tcp"] = "ipc"
    spare: int = 0
    preload: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.over not in {"ipc", "tcp"}:
            msg = f"Processes(over={self.over!r}) is neither 'ipc' nor 'tcp'"
            raise UsageError(msg)
        if not is_count(self.n, 1):
            msg = (
                f"Processes({self.n!r}) is no number of processes for the workers; give at "
                "least 1, or Inline()"
            )
            raise UsageError(msg)
        _check_spare(self, self.n, self.spare)
        preload: object = self.preload
        if isinstance(preload, str):
            msg = f"preload={self.preload!r} is a string; give a tuple: ({self.preload!r},)"
            raise UsageError(msg)
        if self.preload and not self.spare:
            msg = (
                f"preload={self.preload!r} is what spare processes import, and there are none; "
                "give spare=1 with it"
            )
            raise UsageError(msg)
        _check_faults(self, self.faults)
        for fault in self.faults.of(Torn) if self.faults is not None else ():
            msg = (
                f"{fault} happens to simulated disks alone; leave it out of Processes(faults=…), "
                "or use Simulated(faults=…)"
            )
            raise UsageError(msg)

    def __str__(self) -> str:
        return f"processes={self.n}"


@dataclass(frozen=True)
class Simulated:
    """n worker processes and one for each name that a placement gives, all simulated.

    Everything happens in this process and in virtual time, and depends on nothing but the
    arguments: the same seed gives the same trace.

    Args:
        n: worker processes, at least 1; they are named p0, p1, …
        seed: decides delays, the order in which nodes take turns, and faults that are drawn.
        net: what the way between two nodes is like, or a function of (from, to) that says it.
        start: virtual seconds that a process takes to come up.
        compute: virtual seconds that loading data, a fit or an evaluation takes, or
            ``Exponential(mean)``, or a function of the name of the node and the size of the job,
            see ``Compute``.
        faults: what goes wrong.
        shuffle: whether nodes take turns in an order drawn from the seed.
        spare: processes kept in reserve, 0 to n, see ``Processes``: one that is taken is up at
            once.
        heartbeat: virtual seconds between two questions of the launcher to each process, above 0.
            They find processes that are frozen, after five of them. In a simulation of days one a
            second is most of what happens, and more seldom is enough.
    """

    n: int = 4
    seed: int = 0
    net: Nets = LAN
    start: float = 0.5
    compute: Compute = 0.1
    faults: FaultPlan = NO_FAULTS
    shuffle: bool = True
    spare: int = 0
    heartbeat: float = INTERVAL

    def __post_init__(self) -> None:
        if not is_count(self.n, 1):
            msg = (
                f"Simulated({self.n!r}) is no number of processes for the workers; give at least 1"
            )
            raise UsageError(msg)
        for name, seconds in (("start", self.start), ("compute", self.compute)):
            if callable(seconds) or isinstance(seconds, Exponential):
                continue
            if not is_finite(seconds) or seconds < 0:
                msg = f"Simulated({name}={seconds!r}) is no time; give seconds, at least 0"
                raise UsageError(msg)
        if not is_seconds(self.heartbeat):
            msg = f"Simulated(heartbeat={self.heartbeat!r}) is no time; give seconds, above 0"
            raise UsageError(msg)
        _check_spare(self, self.n, self.spare)
        _check_faults(self, self.faults)
        for point in self.faults.points:
            if point.action == "hang":
                msg = (
                    f"a simulation cannot carry out 'hang' at {point.point}, since its nodes share "
                    "one thread; use sigstop or sigkill"
                )
                raise UsageError(msg)

    def __str__(self) -> str:
        return f"simulated={self.n}"

    def loop(self) -> SimLoop:
        """A new loop in whose time it can run."""
        steps = MAX_STEPS * max(1, self.n // _STEPS_OF)
        return SimLoop(self.seed, shuffle=self.shuffle, max_steps=steps)

    @staticmethod
    def running_loop() -> SimLoop:
        """The running loop, if its time is virtual.

        Raises:
            UsageError: its time is real.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimLoop):
            msg = (
                "Simulated() needs a loop whose time is virtual; start the program by "
                "actors.run(main(), on=Simulated()) or run.start(on=Simulated())"
            )
            raise UsageError(msg)
        return loop


def _check_spare(deployment: Processes | Simulated, n: int, spare: int) -> None:
    if not is_count(spare) or spare > n:
        name = type(deployment).__name__
        msg = f"{name}({n}, spare={spare!r}) cannot be; give from 0 to {n}, 1 is usually enough"
        raise UsageError(msg)


def _check_faults(deployment: Processes | Simulated, faults: object) -> None:
    name = type(deployment).__name__
    if faults is not None and not isinstance(faults, FaultPlan):
        msg = f"{name}(faults={faults!r}) is no fault plan; give FaultPlan(Drop(0.1), …)"
        raise UsageError(msg)


Deployment = Inline | Processes | Simulated


def check_deployment(value: Any) -> None:
    """Refuse what is no deployment.

    Raises:
        UsageError: it is none; what was probably meant is named.
    """
    if isinstance(value, Deployment):
        return
    meant = "Inline(), Processes(2) or Simulated(2)"
    if is_count(value, 1):
        meant = f"Processes({value})"
    elif isinstance(value, type) and issubclass(value, Deployment):
        meant = f"{value.__name__}({'' if value is Inline else '2'})"
    elif isinstance(value, Process):
        meant = "Processes(2); Process() is a place= within it"
    elif isinstance(value, str) and value.lower() in _NAMED:
        meant = _NAMED[value.lower()]
    msg = f"on={shown(value)} is no deployment; write {meant}"
    raise UsageError(msg)


_NAMED: Final = {"inline": "Inline()", "processes": "Processes(2)", "simulated": "Simulated(2)"}
