"""What a run leaves for people: events, log, and the lines of its metrics as they come."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec
import structlog

from actorfl.errors import RunDirectoryError, refusal_of
from actorfl.eventfile import EventFile
from actorfl.roles import NODES, WORKERS
from actorfl.rundir import RunDirectory, unusable
from actors import (
    ActorFailure,
    ActorRestarted,
    ActorSystem,
    ChildGivenUp,
    CrashPointMissed,
    Custom,
    DeadLetter,
    Event,
    FaultMissed,
    NodeAnswers,
    NodeDied,
    NodeQuarantined,
    NodeStarted,
    NodeStuck,
    SpareDied,
    SupervisorGaveUp,
)
from actors.failurelog import NAME as FAILURES

T = TypeVar("T")

#: Dead letters beyond this many are counted, not written: a worker that talks to a dead
#: aggregator makes some each second.
_DEAD_LETTERS = 1_000

#: Times that people are told the same; the log tells each.
_TOLD = 3
#: Sentences that are counted; an error may hold what no other one does, for as long as a run goes.
_COUNTED = 1_000
#: What tells the failures of many workers apart, but not what went wrong.
_NUMBER = re.compile(r"\d+")
#: Whose warnings in the launcher's process stand in the log, as those of other processes do.
_LOGGERS = ("actorfl", "actors", "transports")


class RunLog:
    """Listens to the launcher's event stream.

    ``events.msgpack`` is a stream of MessagePack maps, ``log.txt`` the same for people, with
    remote tracebacks, what the processes printed, and the warnings of the launcher's own.

    Args:
        directory: of the run.
        on_row: called with each line of the metrics that is told here, with the restarts so far,
            and with ``{"event": sentence}`` for failures and restarts.

    Raises:
        RunDirectoryError: a file cannot be opened.

    Attributes:
        gone: workers that nobody restarts any more, and why.
        gave_up: the event of the first supervisor that gave up.
        on_progress: called when a round is complete.
    """

    def __init__(
        self, directory: RunDirectory, on_row: Callable[[Mapping[str, Any]], None] | None
    ) -> None:
        self._actor_restarts = 0
        self._starts: dict[str, int] = {}
        self.gave_up: SupervisorGaveUp | None = None
        self.gone: dict[str, str] = {}
        self.on_progress: Callable[[], None] | None = None
        self._on_row = on_row
        self._events = _opened(directory.events, EventFile)
        try:
            self._text = _opened(directory.log, _for_people)
        except RunDirectoryError:
            self._events.close()
            raise
        self._encoder = msgspec.msgpack.Encoder()
        self._dead_letters = 0
        self._told: Counter[str] = Counter()
        self._lost = False
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(self._text),
            processors=[
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.dev.ConsoleRenderer(colors=False, sort_keys=False),
            ],
        )
        self._warnings = _Warnings(self.line)
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self._warnings)

    @property
    def restarts(self) -> int:
        """Actors restarted after an exception plus processes started again after their death.

        A process that died again before it was up counts twice: restarts equal kills.
        """
        return self._actor_restarts + sum(starts - 1 for starts in self._starts.values())

    def attach(self, system: ActorSystem) -> None:
        """Listen to a system's events."""
        system.events.subscribe(Event, self._event)

    def row(self, row: dict[str, Any]) -> None:
        """A line of the metrics."""
        if self.on_progress is not None:
            self.on_progress()
        self._record({"event": "round", "round": row["round"]})
        if self._on_row is not None:
            self._on_row({**row, "restarts": self.restarts})

    def tell(self, sentence: str) -> None:
        """Tell people something."""
        with self._telling():
            self._log.msg(sentence)
            self._text.flush()
        if self._on_row is not None:
            self._on_row({"event": sentence})

    def line(self, node: str, line: str) -> None:
        """A process printed a line."""
        with self._telling():
            self._log.msg(line, node=node)
            self._text.flush()

    def _event(self, event: Event) -> None:
        if isinstance(event, DeadLetter):
            self._dead_letters += 1
            if self._dead_letters > _DEAD_LETTERS:
                return
        pools = f"/{WORKERS}", f"/{NODES}"
        if isinstance(event, ChildGivenUp) and event.supervisor.endswith(pools):
            self.gone[event.child.rpartition("/")[2]] = event.error
        fields = msgspec.to_builtins(event)
        self._record(fields)
        traceback = fields.pop("traceback", "")
        if fields.get("outside"):
            traceback = ""  # what its process printed last, which the process's end has told
        with self._telling():
            self._log.msg(fields.pop("event"), **fields)
            if traceback:
                self._text.write(traceback.rstrip() + "\n")
            self._text.flush()
        sentence = self._bounded(event, self._sentence(event))
        if sentence and self._on_row is not None:
            self._on_row({"event": sentence})

    def _bounded(self, event: Event, sentence: str) -> str:
        """What many workers do alike is told a few times; what a run ends with, not here."""
        if self.gave_up is not None:
            return ""
        match event:
            case ActorFailure(kinds=kinds) if refusal_of(kinds, ""):
                return ""
            case ActorFailure(error=alike) | ActorRestarted(error=alike):
                pass
            case Custom(kind="refused"):
                alike = sentence
            case _:
                return sentence
        if not sentence:
            return ""
        alike = _NUMBER.sub("0", alike)
        if len(self._told) >= _COUNTED and alike not in self._told:
            self._told.clear()
        self._told[alike] += 1
        if self._told[alike] == _TOLD + 1:
            return "further ones like these are in log.txt"
        return sentence if self._told[alike] <= _TOLD else ""

    def _record(self, fields: dict[str, Any]) -> None:
        with self._telling():
            self._events.append(self._encoder.encode({"time": time.time(), **fields}))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What people read is not worth a run: where the disk refuses it, they are told once."""
        try:
            yield
        except OSError as error:
            if not self._lost and self._on_row is not None:
                self._lost = True
                reason = error.strerror or str(error)
                self._on_row({"event": f"events and log are incomplete from here on: {reason}"})

    def _sentence(self, event: Event) -> str:
        match event:
            case NodeStarted(node=node, pid=pid, starts=starts) if starts > 1:
                self._starts[node] = starts
                return f"process {node} restarted (pid {pid})"
            case NodeDied(node=node, pid=pid, reason=reason):
                return f"process {node} (pid {pid}) died: {reason}"
            case SpareDied(reason=reason, given_up=True):
                return f"spare processes die before they can be used, none is started now: {reason}"
            case NodeStuck(node=node, pid=pid, seconds=seconds):
                return f"process {node} (pid {pid}) has not answered for {seconds:.0f} s"
            case NodeQuarantined(node=node, reason=reason):
                return f"process {node} is given up: {reason}"
            case CrashPointMissed(point=point, action=action):
                return (
                    f"crash point {point!r} ({action}) was never reached; look at its name, clock, "
                    "start and node"
                )
            case FaultMissed(fault=fault, reason=reason):
                return f"the fault {fault} never began: {reason}"
            case NodeAnswers(node=node, pid=pid):
                return f"process {node} (pid {pid}) answers again"
            case ActorRestarted(path=path, outside=False, error=error):
                self._actor_restarts += 1
                return f"{_name(path)} restarted after {error}"
            case ActorFailure(path=path, error=error, outside=False):
                return f"{_name(path)} failed: {error}"
            case SupervisorGaveUp():
                if self.gave_up is None:
                    self.gave_up = event
            case Custom(kind="refused" | "warning" | "policy" | "left", fields=fields):
                return str(fields["sentence"])
            case _:
                pass
        return ""

    def close(self) -> None:
        """Close the files."""
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._warnings)
        for file in (self._events, self._text):
            with self._telling():
                file.close()

    def __repr__(self) -> str:
        return f"<RunLog restarts={self.restarts} dead_letters={self._dead_letters}>"


class _Warnings(logging.Handler):
    """Tells warnings as the line of a process, in the form that node processes print them in."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        # Failures are events, which stand in the log by themselves.
        self.addFilter(lambda record: record.name != FAILURES)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one."""
        try:
            self._tell("launcher", self.format(record))
        except Exception:  # noqa: BLE001  (a handler must not raise into what it is told of)
            self.handleError(record)


def _for_people(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8", errors="replace")


def _opened(path: Path, opening: Callable[[Path], T]) -> T:
    try:
        return opening(path)
    except OSError as error:
        raise unusable("write", path, error) from error


def _name(path: str) -> str:
    return path.rpartition("/")[2]
