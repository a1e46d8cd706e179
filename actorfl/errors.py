"""Everything that can go wrong in learning; the name says who is at fault.

ActorflError
├── ConfigError                 bad input, refused before anything starts
│   ├── UnknownKey              a key, or a kind, that does not exist; names the nearest
│   ├── MissingKey              a key that has no default was not given
│   ├── WrongType               a value of another type than the key takes
│   ├── WrongValue              a value out of range; also a ValueError
│   ├── MissingFile             a file that was named is not there or cannot be read
│   ├── NotToml                 a file, or a setting, that is not TOML
│   ├── CodeImportError         code that was named does not import
│   │   └── TaskImportError     the same, for the task
│   ├── Misfit                  two parts that do not fit together
│   └── MissingExtra            an optional dependency is not installed
├── RunDirectoryError           the directory of a run cannot be made, read or written
│   ├── RunInUse                another run holds it
│   ├── NothingToResume         there is no run where one was expected
│   ├── DifferentConfiguration  the run there was started with another configuration
│   ├── NotRunning              the run there has ended, or cannot be looked at
│   └── NotRecorded             the run there did not keep what a step was computed from
├── BeyondHelp                  in an actor of a run: no restart would help; the run fails with it
├── ProgramFailed               in a node's own program: a call that must not be made
├── RunFailed                   the run started and gave up
└── StepFailed                  a step that was replayed, or a task whose data is shown, raised

Each carries ``exit_code``, with which the command line ends.
"""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from actorfl.exitcodes import ExitCode
from actorfl.places import own_place

# The keys of a run and a few more: a longer list helps nobody who reads one line.
_MOST_CHOICES_NAMED = 24
# Nor does one of more changes.
_MOST_CHANGES_NAMED = 8
# Characters of a value in a sentence: a hash of 64 is told by its beginning.
_LONGEST_VALUE = 40


def nearest(word: str, choices: Iterable[str]) -> str:
    """Say what may have been meant.

    Args:
        word: what was written.
        choices: what could have been written.

    Returns:
        ``"did you mean `lr`?"``, or else the choices, or nothing where there are none.
    """
    known = sorted(set(choices))
    near = [choice for choice in known if choice.rpartition(".")[2] == word]
    near = near or [choice for choice in known if _letters(choice) == _letters(word)]
    near = near or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        last = {choice.rpartition(".")[2]: choice for choice in known}
        near = [last[name] for name in difflib.get_close_matches(word, last, n=1, cutoff=0.6)]
    if near:
        return f"did you mean `{near[0]}`?"
    if not known:
        return ""
    named = ", ".join(f"`{choice}`" for choice in known[:_MOST_CHOICES_NAMED])
    more = ", ..." if len(known) > _MOST_CHOICES_NAMED else ""
    return f"known here: {named}{more}"


def _letters(word: str) -> str:
    """A word as people remember it: `D-PSGD` for `dpsgd`, `fed_avg` for `fedavg`."""
    return word.lower().replace("-", "").replace("_", "").replace(" ", "")


class ActorflError(Exception):
    """Root of all errors of the learning floor; its text is one sentence for people."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL


class ConfigError(ActorflError):
    """Bad input; nothing was started."""

    exit_code = ExitCode.CONFIG


class UnknownKey(ConfigError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """A key, or the name of a kind, that does not exist.

    Args:
        what: "key", or the slot whose kind it is ("topology").
        word: what was written.
        place: where, for people.
        choices: what could have been written.
    """

    exit_code = ExitCode.UNKNOWN_KEY

    def __init__(self, what: str, word: str, place: str, choices: Iterable[str]) -> None:
        hint = nearest(word, choices)
        super().__init__(f"unknown {what} `{word}` {place}" + (f"; {hint}" if hint else ""))
        self.word = word

    @classmethod
    def saying(cls, sentence: str, word: str) -> UnknownKey:
        """Make one of a sentence that somebody else built."""
        error = cls("", word, "", ())
        error.args = (sentence,)
        return error


class MissingKey(ConfigError):  # noqa: N818
    """A key that has no default was not given."""

    exit_code = ExitCode.WRONG_VALUE

    def __init__(self, key: str, owner: str, place: str) -> None:
        super().__init__(f"{owner} needs the key `{key}` {place}")
        self.key = key


class WrongType(ConfigError):  # noqa: N818
    """A value of another type than its key takes."""

    exit_code = ExitCode.WRONG_VALUE

    def __init__(self, place: str, expected: str, got: object) -> None:
        kind = "table" if isinstance(got, dict) else type(got).__name__
        super().__init__(f"{place}: expected {expected}, got {kind} {_told(got, 60)}")


class WrongValue(ConfigError, ValueError):  # noqa: N818
    """A value out of range.

    Args:
        what: the value's name: ``"`workers` of Star"``.
        need: what it must be: ``"at least 1"``.
        got: what it is.
    """

    exit_code = ExitCode.WRONG_VALUE

    def __init__(self, what: str, need: str, got: object) -> None:
        super().__init__(f"{what} must be {need}, got {_told(got, 100)}")

    @classmethod
    def saying(cls, sentence: str) -> WrongValue:
        """Make one of a sentence that somebody else built."""
        error = cls("", "", None)
        error.args = (sentence,)
        return error


class MissingFile(ConfigError):  # noqa: N818
    """A file that was named is not there or cannot be read."""

    exit_code = ExitCode.MISSING_FILE

    def __init__(self, path: str | os.PathLike[str], reason: str = "there is no such file") -> None:
        super().__init__(f"cannot read {path}: {reason}")
        self.path = Path(path)


class NotToml(ConfigError):  # noqa: N818
    """A file, or a setting on the command line, that is not TOML."""


class CodeImportError(ConfigError):
    """Code that the configuration names does not import."""

    exit_code = ExitCode.CODE_IMPORT


class TaskImportError(CodeImportError):
    """The task does not import."""


class Misfit(ConfigError):  # noqa: N818
    """Two parts of the configuration that do not fit together."""

    exit_code = ExitCode.MISFIT


class MissingExtra(ConfigError):  # noqa: N818
    """An optional dependency is not installed.

    Args:
        module: what could not be imported.
        extra: the extra of actorfl that brings it.
        wanted_by: what needs it, for people.
    """

    exit_code = ExitCode.MISSING_EXTRA

    def __init__(self, module: str, extra: str, wanted_by: str) -> None:
        super().__init__(
            f"{wanted_by} needs `{module}`, which is not installed; "
            f"install it with: pip install 'actorfl[{extra}]'"
        )


class RunDirectoryError(ActorflError):
    """The directory of a run cannot be made, read or written."""

    exit_code = ExitCode.RUN_DIRECTORY


class RunInUse(RunDirectoryError):  # noqa: N818
    """Another run holds the directory.

    Args:
        path: the directory.
        pid: the process that said it holds it; None where it left no word.
        alive: whether that process still lives; if not, a child of it holds the lock.
    """

    exit_code = ExitCode.RUN_IN_USE

    def __init__(self, path: Path, pid: int | None, *, alive: bool) -> None:
        if pid is None:
            holder = "another process"
        elif alive:
            holder = f"process {pid}"
        else:
            holder = f"a process left behind by process {pid}, which is gone"
        super().__init__(f"{path} is in use by {holder}; wait until it has ended, or end it")
        self.pid = pid


class NothingToResume(RunDirectoryError):  # noqa: N818
    """There is no run where one was expected."""

    exit_code = ExitCode.NOTHING_TO_RESUME

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"nothing to resume in {path}: {reason}")


class DifferentConfiguration(RunDirectoryError):  # noqa: N818
    """The run that should be resumed was started with another configuration.

    Args:
        path: the run's directory.
        changes: what the dotted keys that differ were, and what they are now.
    """

    exit_code = ExitCode.DIFFERENT_CONFIGURATION

    def __init__(self, path: Path, changes: Mapping[str, tuple[object, object]]) -> None:
        self.keys = tuple(sorted(changes))
        named = ", ".join(_change(key, *changes[key]) for key in self.keys[:_MOST_CHANGES_NAMED])
        more = len(self.keys) - _MOST_CHANGES_NAMED
        if more > 0:
            named += f" and {more} more"
        if all(key.endswith(".source") for key in self.keys):
            advice = "put back what stood there"
        else:
            advice = "leave FILE and --set out, or repeat the --set of that start"
        super().__init__(
            f"{path} was started with another configuration: {named}; {advice}, or start a new run"
        )


class NotRunning(RunDirectoryError):  # noqa: N818
    """The run that was to be looked at has ended, or cannot be looked at.

    Args:
        path: the run's directory.
        reason: how that is known.
        ended: whether it is over.
    """

    exit_code = ExitCode.NOT_RUNNING

    def __init__(self, path: Path, reason: str, *, ended: bool = True) -> None:
        what = "is not running" if ended else "cannot be looked at from outside"
        advice = f"; its rounds: actorfl show {shlex.quote(str(path))}"
        super().__init__(f"{path} {what}: {reason}{advice}")


class NotRecorded(RunDirectoryError):  # noqa: N818
    """A step cannot be replayed: the run did not keep what it was computed from.

    Args:
        path: the run's directory.
        clock: of the step.
        reason: what is missing.
        begun: whether the run came to any clock, so that it could have kept this one.
    """

    exit_code = ExitCode.NOT_RECORDED

    def __init__(self, path: Path, clock: int, reason: str, *, begun: bool = True) -> None:
        again = f"actorfl run {shlex.quote(str(path / 'run.toml'))} --set record=true"
        advice = (
            "; `record = true` keeps all clocks, and a run of the same configuration has the same "
            f"bits: {again}"
        )
        sentence = f"clock {clock} of {path} cannot be replayed: {reason}"
        super().__init__(sentence + (advice if begun else ""))


def _change(key: str, old: object, new: object) -> str:
    part, _, last = key.rpartition(".")
    if last == "source":
        return f"the source of `{part}` was changed"
    if part == "until" and isinstance(old, int) and isinstance(new, int):
        return f"`{key}` may only grow: was {old}, got {new}"
    return f"`{key}` was {_short(old)} and is {_short(new)}"


def _told(value: object, most: int) -> str:
    """A value that was given, in so many characters: it may be of any length, or have no repr."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (user code; and Python refuses to write 4,301 digits)
        return f"<{type(value).__name__}>"
    return text if len(text) <= most else text[: most - 3] + "..."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def refusal_of(kinds: Sequence[str], sentence: str) -> ConfigError | None:
    """Make anew a refusal that came up in another process.

    Args:
        kinds: its class and those it derives from, as ``module:Class``, nearest first.
        sentence: its text.

    Returns:
        An error of the nearest class of ours, or None where it is no ``ConfigError``.
    """
    for kind in kinds:
        module, _, name = kind.partition(":")
        found = globals().get(name) if module == __name__ else None
        if isinstance(found, type) and issubclass(found, ConfigError):
            error = found.__new__(found)
            Exception.__init__(error, sentence)
            return error
    return None


class BeyondHelp(ActorflError):  # noqa: N818
    """No restart would help: raised in an actor of a run, which gives up at once, ``RunFailed``.

    Its sentence becomes that of the ``RunFailed``.
    """

    exit_code = ExitCode.RUN_FAILED


class ProgramFailed(ActorflError):  # noqa: N818
    """The program of a node called something as it must not be called."""

    exit_code = ExitCode.RUN_FAILED


class RunFailed(ActorflError):  # noqa: N818
    """The run started and gave up.

    Args:
        who: the worker, aggregator or process that could not be kept alive.
        reason: the exception, or how the process died, for people.
        restarts: how often it was restarted before.
        remote_traceback: the traceback as text, from the process where it happened.
        log: where the whole story is.
    """

    exit_code = ExitCode.RUN_FAILED

    def __init__(
        self,
        who: str,
        reason: str,
        restarts: int,
        remote_traceback: str = "",
        log: Path | None = None,
    ) -> None:
        times = "once" if restarts == 1 else f"{restarts} times"
        where = own_place(remote_traceback)
        what = f"{reason.rstrip('. ')} ({where})" if where else reason.rstrip(". ")
        see = f"; see {log}" if log is not None else ""
        super().__init__(f"{who} failed: {what}; gave up after restarting it {times}{see}")
        if remote_traceback:
            self.add_note(f"In the process of {who}:\n{remote_traceback}")
        self.who = who
        self.restarts = restarts
        self.remote_traceback = remote_traceback

    @classmethod
    def saying(
        cls, sentence: str, who: str, remote_traceback: str = "", log: Path | None = None
    ) -> RunFailed:
        """Make one of a sentence that somebody else built: no restart would have helped."""
        error = cls(who, "", 0, remote_traceback)
        error.args = (sentence if log is None else f"{sentence}; see {log}",)
        return error


class StepFailed(ActorflError):  # noqa: N818
    """A step that was replayed raised, as it did in the run perhaps; or a task, as it loads data.

    Args:
        worker: whose step.
        when: "in clock 3", "as it loads its data".
        error: what it raised.
        traceback: as text.
    """

    exit_code = ExitCode.STEP_FAILED

    def __init__(self, worker: str, when: str, error: BaseException, traceback: str) -> None:
        where = own_place(traceback)
        at = f" ({where})" if where else ""
        super().__init__(f"{worker} fails {when}: {type(error).__name__}: {error}{at}")
