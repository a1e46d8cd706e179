"""The directory that a run leaves, ``runs/<name>-<n>``; docs/run-directory.md lists its files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from actorfl.errors import (
    DifferentConfiguration,
    NothingToResume,
    RunDirectoryError,
    RunInUse,
    WrongValue,
)

if TYPE_CHECKING:
    from actorfl.run import Run

# Two starts at once race for a number, each loser takes the next; more losses in a row than this
# are no race but a file system that lies about mkdir.
_MOST_RACES_LOST = 1000
# A configuration is a page of text; a larger file is not ours and must not fill the memory.
_CONFIGURATION_MAX = 16 * 2**20
# The children of a launcher that was killed end within 2 s; its lock is theirs until then.
_GRACE_S = 3.0
_POLL_S = 0.02
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_name(name: str) -> str:
    """Return the name of a run, which is also the beginning of its directory's name.

    Raises:
        WrongValue: not 1 to 64 letters, digits, ``.``, ``_`` and ``-``, a letter or digit first.
    """
    if not _NAME.fullmatch(name):
        need = "1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"
        raise WrongValue("the name of a run", need, name)
    return name


class RunDirectory:
    """A run's directory, locked as long as this object or a process it was passed to lives.

    The lock is an ``flock`` on the file ``lock``. It belongs to the open file, not to the process:
    children that get `lock_fd` (``pass_fds``) share it, so that after a SIGKILL of the launcher
    nobody resumes the run before its last process is gone.

    Attributes:
        path: the directory, absolute.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path: Final = path
        self._lock_fd: int | None = lock_fd

    @classmethod
    def create(cls, base: str | os.PathLike[str] = "runs", name: str = "run") -> RunDirectory:
        """Make and lock ``<base>/<name>-<n>`` with the next free n, from 1.

        Raises:
            RunDirectoryError: it cannot be made or written.
            WrongValue: `name` cannot begin the name of a directory.
        """
        checked_name(name)
        root = Path(base).absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
            number = max((n for n, _ in _numbered(root, name)), default=0)
            for _ in range(_MOST_RACES_LOST):
                number += 1
                path = root / f"{name}-{number}"
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    directory = cls(path, _lock(path))
                    directory.snapshots.mkdir()
                    return directory
        except OSError as error:
            raise unusable("make a run directory in", root, error) from error
        raise RunDirectoryError(f"cannot make a run directory in {root}: every number is taken")

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, grace: float = _GRACE_S) -> RunDirectory:
        """Lock the directory of an earlier run, to resume it.

        Args:
            path: the directory.
            grace: seconds to wait, at most, for the children of a launcher that is gone.

        Raises:
            NothingToResume: there is no run there.
            RunInUse: another process holds it.
            RunDirectoryError: it cannot be read or written.
        """
        where = Path(path).absolute()
        if not where.is_dir():
            raise NothingToResume(path, "there is no such directory")
        directory = cls(where, _lock(where, grace=grace))
        for file in (directory.configuration, directory.canonical):
            if not file.is_file():
                directory.close()
                raise NothingToResume(path, f"it holds no {file.name}")
        return directory

    @staticmethod
    def latest(base: str | os.PathLike[str] = "runs", name: str | None = None) -> Path:
        """Return the newest directory of a run that was started: the highest number of its name.

        Args:
            base: where the runs are.
            name: the run's name; without it the run that was started last counts.

        Raises:
            NothingToResume: there is none.
        """
        root = Path(base)
        runs = [(n, path) for n, path in _numbered(root, name) if (path / "run.toml").is_file()]
        if not runs:
            raise NothingToResume(root, f"no run{f' named {name}' if name else ''} was started")
        if name is None:
            return max(runs, key=lambda run: ((run[1] / "run.toml").stat().st_mtime_ns, run[0]))[1]
        return max(runs)[1]

    @property
    def configuration(self) -> Path:
        """The resolved configuration, as TOML that ``actorfl run`` takes."""
        return self.path / "run.toml"

    @property
    def canonical(self) -> Path:
        """What the configuration hash is the SHA-256 of, byte for byte."""
        return self.path / "configuration.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line, a line per round."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """What happened, as a stream of MessagePack maps."""
        return self.path / "events.msgpack"

    @property
    def log(self) -> Path:
        """The same for people, with remote tracebacks and what processes printed."""
        return self.path / "log.txt"

    @property
    def snapshots(self) -> Path:
        """Folder of what a resumed run continues from."""
        return self.path / "snapshots"

    @property
    def model(self) -> Path:
        """The final model."""
        return self.path / "model.safetensors"

    @property
    def result(self) -> Path:
        """How the run ended, as JSON."""
        return self.path / "result.json"

    @property
    def lock_fd(self) -> int:
        """The file descriptor of the lock, for ``pass_fds``.

        It is not inheritable by itself: a process that user code starts must not keep a run locked.
        """
        if self._lock_fd is None:
            raise RunDirectoryError(f"{self.path} is closed; its lock was given up")
        return self._lock_fd

    def begin(self, run: Run) -> None:
        """Write the resolved configuration, or check that a run here may go on as `run`.

        Raises:
            DifferentConfiguration: the run here was started with another one; only an `until` that
                is further off is let through, and written.
            RunDirectoryError: it cannot be read or written.
        """
        new = run.canonical()
        old = _stored(self.canonical)
        if old is not None and old != new:
            if isinstance(old.get("until"), dict | list) and run.extends(old["until"]):
                old = {**old, "until": new["until"]}
            changes = differing(old, new)
            if changes:
                raise DifferentConfiguration(self.path, changes)
        # In this order: latest() takes a run.toml as the sign that the run was started.
        self.write(self.canonical, run.canonical_json())
        self.write(self.configuration, run.to_toml().encode())

    def write(self, path: Path, content: bytes) -> None:
        """Write a file of this directory whole: a kill leaves the old one or the new one.

        Raises:
            RunDirectoryError: the disk refused.
        """
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):  # on a full disk what it took is wanted
                beside.unlink()
            raise unusable("write", path, error) from error

    def discard(self) -> None:
        """Remove all of it, as far as that can be done: nothing was started here."""
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Give up the lock, unless a child still shares it."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RunDirectory {self.path} {'closed' if self._lock_fd is None else 'locked'}>"


def refuse_another(path: Path, run: Run) -> None:
    """Refuse a run that is not the one of a directory; nothing is locked or written.

    Args:
        path: of the directory.
        run: what its ``run.toml`` describes now.

    Raises:
        DifferentConfiguration: the run there was started with another one: its code, say, was
            changed.
        RunDirectoryError: it cannot be read.
    """
    stored = _stored(path / "configuration.json")
    if stored is None:
        raise NothingToResume(path, "configuration.json is missing")
    changes = differing(stored, run.canonical())
    if changes:
        raise DifferentConfiguration(path, changes)


def _stored(canonical: Path) -> dict[str, Any] | None:
    path = canonical.parent
    try:
        if canonical.stat().st_size > _CONFIGURATION_MAX:
            raise NothingToResume(path, f"{canonical.name} is not a configuration")
        stored = json.loads(canonical.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable("read", canonical, error) from error
    except (ValueError, RecursionError) as error:
        raise NothingToResume(path, f"{canonical.name} is damaged") from error
    if not isinstance(stored, dict):
        raise NothingToResume(path, f"{canonical.name} is not a configuration")
    return stored


def shown(path: Path) -> Path:
    """Return a path as it can be typed here: from the current directory, where it lies below."""
    with contextlib.suppress(ValueError, OSError):
        return path.relative_to(Path.cwd())
    return path


def differing(old: object, new: object, at: str = "") -> dict[str, tuple[object, object]]:
    """Return what two nested dictionaries hold where they differ, by dotted key."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {} if old == new else {at: (old, new)}
    return {
        key: change
        for name in sorted(old.keys() | new.keys())
        for key, change in differing(
            old.get(name, _NOTHING), new.get(name, _NOTHING), f"{at}.{name}" if at else name
        ).items()
    }


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _numbered(root: Path, name: str | None) -> list[tuple[int, Path]]:
    """Return number and path of each ``<name>-<n>`` in `root`."""
    pattern = re.compile(rf"{re.escape(name) if name else '.+'}-([1-9][0-9]{{0,8}})")
    try:
        entries = list(root.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unusable("read", root, error) from error
    matches = ((pattern.fullmatch(entry.name), entry) for entry in entries)
    return [(int(match[1]), entry) for match, entry in matches if match]


def _lock(path: Path, *, grace: float = 0.0) -> int:
    """Take the lock of a directory and leave our process id in it."""
    try:
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unusable("write", path, error) from error
    try:
        _take(fd, path, time.monotonic() + grace)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        os.close(fd)
        raise unusable("lock", path, error) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def _take(fd: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _holder(fd)
            alive = pid is not None and _alive(pid)
            if alive or time.monotonic() >= deadline:
                raise RunInUse(path, pid, alive=alive) from None
            time.sleep(_POLL_S)
        else:
            return


def _holder(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    # Anyone can write into the file; what is no process id must not reach kill().
    return int(text) if text.isdigit() and 0 < int(text) < 2**31 else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # no /proc, as on macOS
        return True
    # A zombie holds nothing; the state follows the command's name, which may hold any character.
    return stat.rpartition(")")[2].split()[0] != "Z"


_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EACCES: "choose another place with --out, or change its permissions",
}
_ELSEWHERE = "choose another place with --out"


def unusable(verb: str, path: Path, error: OSError) -> RunDirectoryError:
    """Return what to raise where the disk refused: what, where, why, and what to do."""
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, _ELSEWHERE)
    return RunDirectoryError(f"cannot {verb} {path}: {reason}; {advice}")
