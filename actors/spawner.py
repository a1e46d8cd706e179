"""Starts the processes that hold nodes, hears them out, and sees them end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from actors import lifeline
from actors.dutycycle import DutyCycle
from actors.errors import NodeError, NodeStartFailed
from actors.exits import Exit, OomCounter
from actors.spare import PopenSpare, Spare, SpareConfig
from actors.surroundings import Surroundings, environment, import_path

_log = logging.getLogger(__name__)

MAX_LINE = 8 << 10
"""Bytes: a line that is longer arrives in pieces, so a child that never ends its line cannot grow
our memory."""

KEPT_LINES = 200
"""Lines kept for a child: a traceback with its context; at most KEPT_LINES * MAX_LINE = 1.6 MB."""

_READ_SIZE = 64 << 10  # a pipe's usual capacity: one read a turn, so that a flood leaves us others
_PIPE_CAPACITY = 1 << 20  # the most that an unprivileged process may set (fs.pipe-max-size)
_CLOSE_LIMIT = 5.0  # seconds; only a process in uninterruptible sleep outlives a SIGKILL


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to be started.

    Attributes:
        name: for people: logs, errors and `Child.name`.
        module: what ``python -m`` runs; it calls `actors.lifeline.attach` first.
        config: opaque bytes that ``attach`` returns in the child.
        args: further command-line arguments, visible in ``ps``.
        env: laid over this process's environment, last word on every variable.
        pass_fds: descriptors that the child inherits under the same numbers.
        cwd: working directory; None for this process's own.
        on_line: called in the loop with every line of output, without its end.
    """

    name: str
    module: str
    config: bytes = b""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    cwd: str | None = None
    on_line: Callable[[str], None] | None = None


class Child(Protocol):
    """A process that was started; it stays valid after the process has ended."""

    @property
    def name(self) -> str:
        """The name given in the spec."""

    @property
    def pid(self) -> int:
        """Process id; the system may give it to a stranger once `alive` is False."""

    @property
    def alive(self) -> bool:
        """Whether the process has not been seen to end."""

    async def wait(self) -> Exit:
        """Wait until the process has ended, is reaped, and its output is read to the end."""

    def kill(self) -> None:
        """SIGKILL the process and the helpers it started; nothing if it has ended."""

    def terminate(self) -> None:
        """SIGTERM the process; nothing if it has ended."""

    def freeze(self) -> bool:
        """Stop it and its helpers as SIGSTOP does; whether it had not ended."""

    def thaw(self) -> bool:
        """Let it go on as SIGCONT does; whether it had not ended."""

    def slow(self, factor: float) -> bool:
        """Have it compute so many times slower, 1 for not at all; whether it had not ended."""

    def last_lines(self, n: int = 20) -> list[str]:
        """The last lines of standard output and error, oldest first."""


class Spawner(Protocol):
    """Starts processes; injected, so that a simulation can start simulated ones."""

    async def spawn(self, spec: ProcessSpec) -> Child:
        """Start a process.

        Raises:
            NodeStartFailed: the operating system refused.
        """

    async def reserve(self, spec: ProcessSpec, preload: Sequence[str] = ()) -> Spare:
        """Start a process that waits to be told who it is.

        Args:
            spec: its surroundings; its configuration comes when it is taken.
            preload: modules that it imports ahead.

        Raises:
            NodeStartFailed: the operating system refused.
        """

    async def close(self) -> None:
        """Kill every process that is left and wait for its end."""


class SpawnerStatistics(msgspec.Struct, frozen=True):
    """What a `PopenSpawner` has done.

    Attributes:
        started: processes started.
        alive: of these, not yet ended.
        signalled: ended by a signal, whoever sent it.
        out_of_memory: of these, most likely killed by the kernel for lack of memory.
        lines: lines of output read from all of them.
    """

    started: int
    alive: int
    signalled: int
    out_of_memory: int
    lines: int


class PopenSpawner:
    """Starts Python processes on this machine that cannot outlive this one.

    Each gets a session of its own, so Ctrl-C in a terminal reaches the launcher only. What ties it
    to this process is in `actors.lifeline`. Not thread-safe: used from one loop.

    Args:
        kept_lines: lines of output kept for each child.
        oom: tells whether a SIGKILL was for lack of memory; found by itself when None.
    """

    def __init__(self, *, kept_lines: int = KEPT_LINES, oom: OomCounter | None = None) -> None:
        self._kept_lines = kept_lines
        self._children: dict[int, PopenChild] = {}
        self._closed = False
        self._started = self._signalled = self._out_of_memory = self._lines = 0
        self._oom = oom if oom is not None else OomCounter()
        self._oom_seen = self._oom.read()

    async def spawn(self, spec: ProcessSpec) -> PopenChild:
        """Start ``python -m spec.module``; returns once the interpreter is running.

        Raises:
            NodeStartFailed: the spawner is closed, the configuration is too long, or the
                operating system refused.
        """
        if self._closed:
            raise NodeStartFailed(
                f"cannot start process {spec.name!r}: its spawner is closed; make a new one"
            )
        if not self._children:
            self._oom_seen = self._oom.read()
        child = PopenChild(spec, self)
        self._children[child.pid] = child
        self._started += 1
        return child

    async def reserve(self, spec: ProcessSpec, preload: Sequence[str] = ()) -> PopenSpare:
        """Start a process that waits to be told who it is; it counts as a child from now on.

        Its module passes what `actors.lifeline.attach` returns, a `SpareConfig`, to
        `actors.spare.await_identity`.

        Raises:
            NodeStartFailed: as for `spawn`.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:  # no descriptor is left
            raise NodeStartFailed(
                f"cannot start process {spec.name!r} in reserve: {error.strerror}"
            ) from error
        with theirs:
            channel = theirs.fileno()
            config = msgspec.msgpack.encode(SpareConfig(channel=channel, preload=tuple(preload)))
            started = msgspec.structs.replace(
                spec, config=config, pass_fds=(*spec.pass_fds, channel)
            )
            try:
                child = await self.spawn(started)
            except BaseException:
                ours.close()
                raise
        return PopenSpare(child, ours, Surroundings.of(spec))

    async def close(self) -> None:
        """Kill every child and wait until all are reaped; no spawn is accepted any more.

        Raises:
            NodeError: a process did not end within 5 s of its SIGKILL.
        """
        self._closed = True
        left = list(self._children.values())
        self.kill_all()
        if not left:
            return
        waits = [asyncio.ensure_future(child.wait()) for child in left]
        _, pending = await asyncio.wait(waits, timeout=_CLOSE_LIMIT)
        for wait in pending:
            wait.cancel()
        if pending:
            names = ", ".join(f"{child.name} (pid {child.pid})" for child in left if child.alive)
            raise NodeError(
                f"still there {_CLOSE_LIMIT:g} s after SIGKILL: {names}; look for a hung disk "
                "or driver"
            )

    def kill_all(self) -> None:
        """SIGKILL every child at once, without waiting: for a second Ctrl-C."""
        for child in list(self._children.values()):
            child.kill()

    def statistics(self) -> SpawnerStatistics:
        """Counts since this spawner was made."""
        return SpawnerStatistics(
            started=self._started,
            alive=len(self._children),
            signalled=self._signalled,
            out_of_memory=self._out_of_memory,
            lines=self._lines,
        )

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<PopenSpawner {state}, {len(self._children)} alive, {self._started} started>"

    def _claim_oom(self) -> bool:
        # One rise of the counter explains one death.
        now = self._oom.read()
        if now is None or self._oom_seen is None or now <= self._oom_seen:
            return False
        self._oom_seen += 1
        return True

    def _ended(self, child: PopenChild, exit_: Exit) -> None:
        del self._children[child.pid]
        self._signalled += exit_.signal is not None
        self._out_of_memory += exit_.out_of_memory


class PopenChild:
    """A process started by `PopenSpawner`."""

    def __init__(self, spec: ProcessSpec, spawner: PopenSpawner) -> None:
        self._spec = spec
        self._spawner = spawner
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._killed = False
        self._frozen = False
        self._cycle: DutyCycle | None = None
        self._on_line = spec.on_line
        self._tail = LineTail(spawner._kept_lines)  # noqa: SLF001  (the two are one unit)
        try:
            self._start()
        except (OSError, ValueError) as error:
            raise NodeStartFailed(f"cannot start process {spec.name!r}: {error}") from error
        self._pidfd = _open_pidfd(self.pid)
        self._loop.add_reader(self._stdout, self._on_output)
        self._send()
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, self._on_end, None)
        else:
            threading.Thread(
                target=self._wait_in_thread, name=f"wait-{self.pid}", daemon=True
            ).start()

    @property
    def name(self) -> str:
        """The name given in the spec."""
        return self._spec.name

    @property
    def pid(self) -> int:
        """Process id; the system may give it to a stranger once `alive` is False."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not been seen to end."""
        return not self._exited.done()

    async def wait(self) -> Exit:
        """Wait for the end; any number may wait, and a waiter that is cancelled harms no other."""
        return await asyncio.shield(self._exited)

    def become(self, spec: ProcessSpec) -> None:
        """Go by this spec's name from now on, and give its callback what is printed."""
        self._spec = msgspec.structs.replace(self._spec, name=spec.name)
        self._on_line = spec.on_line

    def kill(self) -> None:
        """SIGKILL the process and the helpers in its group; nothing if it has ended."""
        if self.alive:
            self._killed = True
            _kill_group(self.pid)

    def terminate(self) -> None:
        """SIGTERM the process alone: it is to end its helpers itself; nothing if it has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def freeze(self) -> bool:
        """SIGSTOP the process and its helpers; whether it had not been seen to end."""
        self._frozen = self.alive
        return self._signal_group(signal.SIGSTOP)

    def thaw(self) -> bool:
        """SIGCONT the process and its helpers; whether it had not been seen to end."""
        self._frozen = False
        return self._signal_group(signal.SIGCONT)

    def slow(self, factor: float) -> bool:
        """Stop it for a part of the time, so that it computes so many times slower."""
        if self.alive:
            if self._cycle is None:
                self._cycle = DutyCycle(self._rest, self._work)
            self._cycle.set(factor)
        return self.alive

    def _rest(self) -> bool:
        return self._signal_group(signal.SIGSTOP)

    def _work(self) -> bool:
        return self._frozen or self._signal_group(signal.SIGCONT)

    def _signal_group(self, number: int) -> bool:
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
        return self.alive

    def last_lines(self, n: int = 20) -> list[str]:
        """The last n lines of standard output and error merged, oldest first."""
        return self._tail.last(n)

    def __repr__(self) -> str:
        state = "alive" if self.alive else self._exited.result().describe()
        return f"<PopenChild {self.name} pid={self.pid} {state}>"

    def _start(self) -> None:
        spec = self._spec
        if not sys.executable:
            raise ValueError("sys.executable is empty; run a Python that knows its own program")
        # -P: a file in the working directory must not shadow a module in the child only.
        command = [sys.executable, "-P", "-m", spec.module, *spec.args]
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            their_stdin, stdin = _pipe(theirs, ours)
            stdout, their_stdout = _pipe(ours, theirs)
            their_lifeline, self._lifeline = _pipe(theirs, ours)  # see `actors.lifeline`
            unsent = lifeline.encode(
                spec.config,
                parent=os.getpid(),
                pipe=their_lifeline,
                path=import_path(spec.env.get("PYTHONPATH")),
            )
            # From the loop's own thread, never an executor's: until the child is attached, the
            # end of the thread would kill it (PR_SET_PDEATHSIG). It takes about 2 ms.
            self._popen = subprocess.Popen(  # noqa: S603  (our interpreter, no shell)
                command,
                stdin=their_stdin,
                stdout=their_stdout,
                stderr=subprocess.STDOUT,
                env=environment(spec.env),
                cwd=spec.cwd,
                pass_fds=(*spec.pass_fds, their_lifeline),
                start_new_session=True,
            )
            ours.pop_all()
        os.set_blocking(stdin, False)
        os.set_blocking(stdout, False)
        self._stdin, self._stdout = stdin, stdout
        self._unsent = memoryview(unsent)

    def _send(self) -> None:
        # The configuration may exceed the pipe's capacity, and a child that dies early never
        # reads it: its end is then told by wait(), not here.
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._stdin, self._unsent) :]
        except BlockingIOError:
            self._loop.add_writer(self._stdin, self._send)
            return
        except OSError:
            pass
        self._unsent = memoryview(b"")
        self._close_input()

    def _close_input(self) -> None:
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
            self._stdin = -1

    def _on_output(self) -> None:
        self._read_output(_READ_SIZE)

    def _read_output(self, size: int) -> int:
        if self._stdout < 0:
            return 0
        try:
            data = os.read(self._stdout, size)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._close_output()
            return 0
        self._report(self._tail.feed(data))
        return len(data)

    def _close_output(self) -> None:
        if self._stdout >= 0:
            self._loop.remove_reader(self._stdout)
            os.close(self._stdout)
            self._stdout = -1

    def _report(self, lines: list[str]) -> None:
        self._spawner._lines += len(lines)  # noqa: SLF001  (the two are one unit)
        if self._on_line is None:
            return
        for line in lines:
            try:
                self._on_line(line)
            except Exception:  # noqa: BLE001  (a caller's callback must not stop the reading)
                _log.exception("on_line of process %s raised; it is called no more", self.name)
                self._on_line = None
                return

    def _wait_in_thread(self) -> None:
        status: int | None = None
        try:
            if hasattr(os, "waitid"):
                # Left unreaped, so that its id stays ours until the loop has heard of it.
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            else:
                _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._on_end, status)

    def _on_end(self, status: int | None) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        # What it wrote is in the pipe already. A helper that it left behind may hold the other
        # end open and go on writing, hence no waiting for end-of-file and no more than a pipeful.
        left = _PIPE_CAPACITY
        while left > 0 and (count := self._read_output(left)):
            left -= count
        self._close_output()
        self._report(self._tail.finish())
        if self._cycle is not None:
            self._cycle.end()
        self._close_input()
        os.close(self._lifeline)
        _kill_group(self.pid)  # before reaping: the group's id cannot be a stranger's yet
        if status is None:
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(self.pid, 0)
        if status is None:
            exit_ = Exit()
        else:
            exit_ = Exit.from_wait_status(status)
            if exit_.signal == signal.SIGKILL and not self._killed:
                oom = self._spawner._claim_oom()  # noqa: SLF001  (the two are one unit)
                exit_ = Exit.from_wait_status(status, out_of_memory=oom)
        self._popen.returncode = -1 if status is None else os.waitstatus_to_exitcode(status)
        self._spawner._ended(self, exit_)  # noqa: SLF001  (the two are one unit)
        self._exited.set_result(exit_)


class LineTail:
    """Cuts a stream of bytes into lines and keeps the last of them.

    A line ends at a line feed, or at MAX_LINE bytes. Of a line that a carriage return overwrites,
    as progress bars do, what a terminal would show stays.

    Args:
        kept: number of lines kept, at least 1.
    """

    def __init__(self, kept: int = KEPT_LINES) -> None:
        self._lines: deque[str] = deque(maxlen=kept)
        self._open = b""

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes; returns the lines that they complete."""
        *complete, rest = (self._open + data).split(b"\n")
        pieces = [piece for line in complete for piece in _pieces(_shown(line)) or [b""]]
        if len(rest) > MAX_LINE:
            *full, rest = _pieces(_shown(rest)) or [b""]
            pieces += full
        self._open = rest
        return self._keep(pieces)

    def finish(self) -> list[str]:
        """The stream has ended: returns the line that had no end, if there is one."""
        rest, self._open = _shown(self._open), b""
        return self._keep(_pieces(rest))

    def last(self, n: int) -> list[str]:
        """The last n lines, oldest first, with the one that is not finished yet."""
        lines = list(self._lines)
        if self._open:
            lines.append(_shown(self._open).decode("utf-8", "replace"))
        return lines[-n:] if n > 0 else []

    def _keep(self, pieces: list[bytes]) -> list[str]:
        lines = [piece.decode("utf-8", "replace") for piece in pieces]
        self._lines.extend(lines)
        return lines


def _shown(line: bytes) -> bytes:
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + MAX_LINE] for start in range(0, len(line), MAX_LINE)]


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    # Each end is closed by its stack, also when the next thing fails.
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing


def _open_pidfd(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # a kernel before 5.3, or a sandbox without the call
        return None


def _kill_group(pid: int) -> None:
    # EPERM is what macOS says of a group in which only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
