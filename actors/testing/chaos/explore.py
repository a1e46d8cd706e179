"""Plays a scenario under many schedules of faults, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.errors import UsageError
from actors.faults.plan import FaultPlan
from actors.testing.chaos.generator import refuse_seed
from actors.testing.chaos.looking import settled
from actors.testing.chaos.report import Failed, Played, Report
from actors.testing.chaos.scenario import Evidence, Scenario
from actors.testing.chaos.worker import Job, Player, Said, load

MOST_SHORTENED: Final = 5
"""Failed seeds that are shortened: the others mostly show the same, and each takes a minute."""

_STDERR: Final = 2
"""Descriptor of standard error: what a play prints is no part of what this process says."""

_WAIT: Final = 5.0
"""Seconds in which a process that is told nothing more ends."""

LONGEST_PLAY: Final = 300.0
"""Seconds of real time, hundreds of times what a play takes: one that blocks never ends, and nobody
would learn which seed it was. Shortening is many plays, and a start loads code and plays twice, so
these may take ``_TIMES`` as long."""

_TIMES: Final = 10

_MOST_DEATHS: Final = 3
"""Processes in a row that are killed before they are ready: what kills one at random, such as a
lack of memory, mostly spares the next one, and what kills each would go on for ever."""


def explore(
    scenario: Scenario[Any] | str,
    seeds: Iterable[int],
    *,
    arguments: tuple[str, ...] = (),
    jobs: int = 2,
    enough: int | None = None,
    on_played: Callable[[Played], object] = lambda _: None,
    on_failed: Callable[[Failed], object] = lambda _: None,
) -> Report:
    """Play a scenario under the schedule of each seed, and shorten those that break something.

    Args:
        scenario: a scenario, which is played in this process; or where it is found,
            ``module:attr`` or ``file.py:attr``, and it is played in processes of their own.
        seeds: of the schedules.
        arguments: where ``attr`` is a function that makes the scenario: what it is given.
        jobs: processes, at least 1; about as many as there are cores.
        enough: failed seeds after which no further one is begun; None plays all of them.
        on_played: called after each seed.
        on_failed: called with each schedule that was shortened: the first ``MOST_SHORTENED``.

    Raises:
        UsageError: there is no such scenario, it does not hold without faults, or a seed takes
            more than 64 bits.
    """
    if not isinstance(seeds, range):
        seeds = tuple(seeds)
    for seed in (*seeds[:1], *seeds[-1:]) if isinstance(seeds, range) else seeds:
        refuse_seed(seed)
    began = time.perf_counter()
    played: list[Played] = []
    failed: list[Failed] = []

    def heard(one: Played) -> None:
        played.append(one)
        on_played(one)

    def shortened(one: Failed) -> None:
        failed.append(one)
        on_failed(one)

    if isinstance(scenario, Scenario):
        with settled():
            player = Player(scenario)
            for seed in seeds:
                heard(player.played(seed))
                if _suffice(played, enough):
                    break
            for one in [one for one in played if one.broken][:MOST_SHORTENED]:
                shortened(player.shortened(one.seed))
    else:
        if jobs < 1:
            raise UsageError(f"jobs={jobs} plays nothing; give at least 1")
        pool = _Pool(_absolute(scenario), arguments, jobs, heard, shortened, enough)
        pool.carry_out(deque(seeds))
    known = {one.seed for one in failed}
    failed += [_unshortened(one) for one in played if one.broken and one.seed not in known]
    return Report.of(played, failed, time.perf_counter() - began)


def replay(
    scenario: Scenario[Any] | str, plan: FaultPlan, *, arguments: tuple[str, ...] = ()
) -> tuple[Evidence[Any], dict[str, str]]:
    """Play one schedule again, in this process.

    Returns:
        What it left, with its story, and what of it does not hold: a sentence by invariant.

    Raises:
        UsageError: there is no such scenario, or it does not hold without faults.
    """
    found = load(scenario, arguments) if isinstance(scenario, str) else scenario
    with settled():
        return Player(found).judged(plan)


def _absolute(reference: str) -> str:
    home, colon, name = reference.rpartition(":")
    return f"{Path(home).resolve()}{colon}{name}" if home.endswith(".py") else reference


def _suffice(played: Iterable[Played], enough: int | None) -> bool:
    return enough is not None and sum(bool(one.broken) for one in played) >= enough


def _unshortened(one: Played) -> Failed:
    return Failed(
        seed=one.seed, broken=one.broken, plan="", faults=0, drawn=0, plays=0, digest=one.digest
    )


def _limit(process: _Process) -> float:
    plays = process.told is not None and process.told[0] == "play"
    return process.since + LONGEST_PLAY * (1 if plays else _TIMES)


@dataclass
class _Process:
    """One that plays, and what it was told last."""

    child: subprocess.Popen[bytes]
    writing: int
    reading: int
    number: int
    told: tuple[str, int] | None = None
    ready: bool = False
    since: float = field(default_factory=time.monotonic)
    late: bool = False
    buffer: bytearray = field(default_factory=bytearray)

    def hang_up(self) -> None:
        """Close both pipes: one that plays takes away its files and ends."""
        for descriptor in (self.writing, self.reading):
            if descriptor >= 0:
                os.close(descriptor)
        self.writing = self.reading = -1


class _Pool:
    """Processes that play; each gets the next seed when it is through with one."""

    def __init__(  # noqa: PLR0917  (made in one place)
        self,
        scenario: str,
        arguments: tuple[str, ...],
        jobs: int,
        heard: Callable[[Played], object],
        shortened: Callable[[Failed], object],
        enough: int | None,
    ) -> None:
        self._scenario = scenario
        self._arguments = arguments
        self._jobs = jobs
        self._heard = heard
        self._shortened = shortened
        self._processes: list[_Process] = []
        self._enough = enough
        self._failed = 0
        self._to_shorten = 0
        self._made = 0
        #: Processes that were killed since the last one was ready.
        self._deaths = 0
        self._was_ready = False

    def carry_out(self, seeds: deque[int]) -> None:
        """Play them all."""
        todo: deque[tuple[str, int]] = deque(("play", seed) for seed in seeds)
        with selectors.DefaultSelector() as selector:
            try:
                for _ in range(min(self._jobs, len(todo))):
                    self._start(selector)
                while any(p.told is not None or not p.ready for p in self._processes):
                    heard = selector.select(self._patience())
                    for key, _events in heard:
                        self._read(key.data, selector, todo)
                    if not heard:
                        self._end_late_ones()
            finally:
                for process in self._processes:  # all at once: each may take a moment
                    process.hang_up()
                for process in self._processes:
                    self._end(process)

    def _patience(self) -> float:
        """Seconds until the first process has taken too long."""
        limits = [_limit(each) for each in self._processes if self._is_watched(each)]
        return max(0.0, min(limits) - time.monotonic()) if limits else _WAIT

    @staticmethod
    def _is_watched(process: _Process) -> bool:
        return not process.late and (process.told is not None or not process.ready)

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        for each in self._processes:
            if self._is_watched(each) and _limit(each) <= now:
                each.late = True
                each.child.kill()  # what it leaves is read next

    def _start(self, selector: selectors.BaseSelector) -> None:
        ins, writing = os.pipe()
        reading, outs = os.pipe()
        try:
            child = subprocess.Popen(  # noqa: S603  (this interpreter, a module of ours)
                [sys.executable, "-m", "actors.testing.chaos", str(ins), str(outs)],
                pass_fds=(ins, outs), stdin=subprocess.DEVNULL, stdout=_STDERR,
                # Ctrl-C is the business of whoever explores.
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        finally:
            os.close(ins)
            os.close(outs)
        self._made += 1
        process = _Process(child, writing, reading, self._made)
        self._processes.append(process)
        selector.register(reading, selectors.EVENT_READ, process)
        job = Job(scenario=self._scenario, arguments=self._arguments, number=self._made)
        self._write(process, msgspec.json.encode(job))

    @staticmethod
    def _write(process: _Process, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # its end is read next
            os.write(process.writing, line + b"\n")

    def _read(
        self, process: _Process, selector: selectors.BaseSelector, todo: deque[tuple[str, int]]
    ) -> None:
        data = os.read(process.reading, 1 << 16)
        if not data:
            selector.unregister(process.reading)
            self._end(process)
            self._processes.remove(process)
            self._died(process, selector, todo)
            return
        process.buffer += data
        while (end := process.buffer.find(b"\n")) >= 0:
            line = bytes(process.buffer[:end])
            del process.buffer[: end + 1]
            self._said(process, msgspec.json.decode(line, type=Said), todo)

    def _said(self, process: _Process, said: Said, todo: deque[tuple[str, int]]) -> None:
        if said.trouble is not None:
            raise UsageError(f"{self._scenario} cannot be played: {said.trouble}")
        process.ready, process.told = True, None
        self._was_ready, self._deaths = True, 0
        if said.played is not None:
            self._count(said.played, todo)
        if said.failed is not None:
            self._shortened(said.failed)
        # One that waited when a seed failed late is told now.
        for each in self._processes:
            if todo and each.ready and each.told is None:
                each.told, each.since = todo.popleft(), time.monotonic()
                word, seed = each.told
                self._write(each, f"{word} {seed}".encode())

    def _count(
        self, played: Played, todo: deque[tuple[str, int]], *, shortens: bool = True
    ) -> None:
        if shortens and played.broken and self._to_shorten < MOST_SHORTENED:
            self._to_shorten += 1
            todo.append(("shorten", played.seed))
        self._heard(played)
        self._failed += bool(played.broken)
        if self._enough is not None and self._failed >= self._enough:
            rest = [each for each in todo if each[0] == "shorten"]
            todo.clear()
            todo.extend(rest)

    def _died(
        self, process: _Process, selector: selectors.BaseSelector, todo: deque[tuple[str, int]]
    ) -> None:
        code = process.child.returncode
        if process.told is None:
            self._died_untold(process, selector, todo)
            return
        word, seed = process.told
        if word == "play":
            sentence = (
                f"it had not ended after {LONGEST_PLAY:.0f} s of real time, and was killed"
                if process.late
                else f"the process that played it ended with {code}"
            )
            self._count(Played(seed=seed, broken={"ends": sentence}), todo, shortens=False)
        if todo:
            self._start(selector)

    def _died_untold(
        self, process: _Process, selector: selectors.BaseSelector, todo: deque[tuple[str, int]]
    ) -> None:
        """It had no seed: whatever it was to play is there for another one."""
        code = process.child.returncode
        if process.ready:
            if todo:
                self._start(selector)
            return
        self._deaths += 1
        if code < 0 and not process.late and self._deaths < _MOST_DEATHS:
            self._start(selector)
            return
        if self._processes:
            return  # they play the rest
        why = (
            f"had not played it without faults after {_TIMES * LONGEST_PLAY:.0f} s of real time, "
            "and was killed; does it block?"
            if process.late
            else f"ended with {code} before it was ready; what it printed says why"
        )
        sentence = f"a process that was to play {self._scenario} {why}"
        if not self._was_ready:
            raise UsageError(sentence)
        lost = [seed for word, seed in todo if word == "play"]
        todo.clear()
        for seed in lost:  # what was played before is not thrown away
            self._count(Played(seed=seed, broken={"ends": f"not played: {sentence}"}), todo,
                        shortens=False)  # fmt: skip

    @staticmethod
    def _end(process: _Process) -> None:
        process.hang_up()
        if process.child.returncode is not None:  # whoever sends a signal may find it ended
            return
        try:
            process.child.wait(_WAIT)
        except subprocess.TimeoutExpired:
            process.child.kill()
            process.child.wait()
