"""A process that plays seeds of a scenario as it is told: ``python -m actors.testing.chaos``.

Lines of JSON go both ways over two descriptors that it is given; what is printed goes to standard
error. It ends when nobody tells it anything any more, in the middle of a play, too.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from actors import code
from actors.errors import UsageError
from actors.faults.plan import FaultPlan
from actors.lifeline import ORPHANED
from actors.placement import UnknownProcess
from actors.testing.chaos.generator import generate
from actors.testing.chaos.looking import settled
from actors.testing.chaos.playing import play, undisturbed
from actors.testing.chaos.report import Failed, Played
from actors.testing.chaos.scenario import Evidence, Scenario
from actors.testing.chaos.shrinking import shrink

_BEYOND = 1.25
"""Faults begin within the time that the play takes undisturbed, and a quarter: they make it longer,
and what comes after its end would take no effect."""

_UNWINDS: Final = 2.0
"""Seconds in which a play that nobody waits for any more takes away what it made, files say."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told first.

    Attributes:
        scenario: ``module:attr`` or ``/abs/file.py:attr``, a ``Scenario`` or what makes one.
        arguments: for what makes it.
        number: of the process.
    """

    scenario: str
    arguments: tuple[str, ...] = ()
    number: int = 0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says: that it is ready, what it played, or what became of a failed seed."""

    ready: bool = False
    trouble: str | None = None
    played: Played | None = None
    failed: Failed | None = None


def load(reference: str, arguments: tuple[str, ...] = ()) -> Scenario[Any]:
    """The scenario that a reference names.

    Raises:
        CodeTravelError: it cannot be imported.
        UsageError: what is there is no scenario and makes none.
    """
    found = code.load(code.parse(reference))
    if not isinstance(found, Scenario) and callable(found):
        found = found(*arguments)
    if not isinstance(found, Scenario):
        raise UsageError(
            f"{reference} is a {type(found).__name__}; name a Scenario, or a function that "
            "returns one"
        )
    return found


class Player:
    """Plays one scenario again and again.

    Args:
        scenario: what.
        number: of the process that it does so in.
    """

    def __init__(self, scenario: Scenario[Any], number: int = 0) -> None:
        self.scenario = scenario
        self.reference = undisturbed(scenario)
        self._number = number
        broken = scenario.broken(self.reference)
        if broken:
            name, sentence = next(iter(broken.items()))
            raise UsageError(f"without any fault {name!r} does not hold: {sentence}")

    @property
    def seconds(self) -> float:
        """Within which faults begin."""
        given = self.scenario.seconds
        return self.reference.seconds * _BEYOND if given is None else given

    def plan(self, seed: int) -> FaultPlan:
        """The schedule of a seed."""
        scenario = self.scenario
        return generate(
            seed, scenario.nodes, self.seconds, points=scenario.points, kinds=scenario.kinds
        )

    def judged(self, plan: FaultPlan) -> tuple[Evidence[Any], dict[str, str]]:
        """Play a schedule; what it left, and what of it does not hold.

        Raises:
            UsageError: it names processes that do not exist, or an invariant judges by no sentence.
        """
        evidence = play(self.scenario, plan, self.reference)
        if isinstance(evidence.error, UnknownProcess):  # the plan does not fit, nothing broke
            raise UsageError(str(evidence.error))
        return evidence, self.scenario.broken(evidence)

    def played(self, seed: int) -> Played:
        """Play the schedule of a seed."""
        began = time.perf_counter()
        evidence, broken = self.judged(self.plan(seed))
        return Played(
            seed=seed, broken=broken, digest=evidence.digest, faults=dict(evidence.faults),
            kills=evidence.kills, restarts=evidence.restarts,
            seconds=time.perf_counter() - began, virtual=evidence.seconds, memory=_memory(),
            process=self._number,
        )  # fmt: skip

    def shortened(self, seed: int) -> Failed:
        """The shortest schedule found under which the same breaks as under that of a seed."""
        whole = self.plan(seed)
        _, broken = self.judged(whole)
        wanted = set(broken)

        def breaks(plan: FaultPlan) -> bool:
            return bool(wanted & set(self.judged(plan)[1]))

        plan, plays = shrink(whole, breaks)
        evidence, broken = self.judged(plan)
        return Failed(
            seed=seed, broken=broken, plan=plan.to_toml(), faults=len(plan), drawn=len(whole),
            plays=plays, digest=evidence.digest, story=evidence.story,
        )  # fmt: skip


def _memory() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no /proc, as on macOS
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(reading: int, writing: int) -> None:
    """Play what comes in, line by line, until nothing comes any more."""
    sys.stdout = sys.stderr
    busy, alone = threading.Event(), threading.Event()
    threading.Thread(
        target=_end_with, args=(reading, busy, alone), name="hang-up", daemon=True
    ).start()
    try:
        _play_all(reading, writing, busy)
    except BrokenPipeError:
        pass  # nobody is left to be told
    except KeyboardInterrupt:
        if not alone.is_set():
            raise
    finally:
        busy.clear()


def _end_with(reading: int, busy: threading.Event, alone: threading.Event) -> None:
    """End this process with whoever tells it what to play, whatever it does then.

    A play may take minutes, and one that blocks never ends.
    """
    hung_up = select.poll()
    hung_up.register(reading, 0)  # the hang-up is told always
    hung_up.poll()
    alone.set()
    if busy.is_set():
        _thread.interrupt_main()
    time.sleep(_UNWINDS)
    os._exit(ORPHANED)


def _play_all(reading: int, writing: int, busy: threading.Event) -> None:
    with os.fdopen(reading, "rb") as ins, os.fdopen(writing, "wb", buffering=0) as outs:

        def say(what: Said) -> None:
            # Who explores may have ended, or been told by another process why nothing can be.
            with contextlib.suppress(BrokenPipeError):
                outs.write(msgspec.json.encode(what) + b"\n")

        busy.set()
        job = msgspec.json.decode(ins.readline(), type=Job)
        try:
            player = Player(load(job.scenario, job.arguments), job.number)
        except Exception as error:  # noqa: BLE001  (whoever explores is told)
            say(Said(trouble=f"{type(error).__name__}: {error}"))
            return
        with settled():
            busy.clear()
            say(Said(ready=True))
            for line in ins:
                busy.set()
                word, _, number = line.decode().strip().partition(" ")
                try:
                    if word == "play":
                        said = Said(played=player.played(int(number)))
                    else:
                        said = Said(failed=player.shortened(int(number)))
                except UsageError as error:
                    said = Said(trouble=str(error))
                busy.clear()
                say(said)
                if said.trouble is not None:
                    return
