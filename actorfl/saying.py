"""What the command ``actorfl`` says: lines of a run for people, its JSON, and errors."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import typer

from actorfl.errors import ActorflError
from actorfl.exitcodes import ExitCode
from actorfl.stopping import uninterrupted

if TYPE_CHECKING:
    from actorfl.baselines import Baselines
    from actorfl.execute import Result
    from actorfl.sweep import Swept

# Workers named in a line for one reason: of a thousand nobody reads the rest.
_MOST_NAMED = 4

_SHORT = {"accuracy_worst_decile": "worst decile"}

EPILOG = (
    "Exit codes: 0 done, 2 usage, 10-19 configuration refused, 20-29 run directory refused, "
    "30 the run gave up, 32 chaos found a fault, 33 a replay gave other bits, 34 a replayed step "
    "raised, or a task whose data was to be shown, 130 Ctrl-C or SIGTERM; docs/exit-codes.md lists "
    "them all."
)


def can_write(characters: str) -> bool:
    """Whether standard output can write these."""
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def row_line(row: Mapping[str, Any]) -> str:
    """Return a row of the metrics as a line for people; what it does not hold is left out."""
    if "event" in row:
        return f"  ! {row['event']}"
    parts = [f"round {row.get('round', '?'):>4}"]
    for key, form in (
        ("accuracy", "{:.4f}"),
        ("accuracy_worst_decile", "{:.4f}"),
        ("loss", "{:.4f}"),
        ("updates", "{}"),
    ):
        if row.get(key) is not None:
            parts.append(f"{_SHORT.get(key, key)} {form.format(row[key])}")
    if row.get("selected"):
        parts.append(f"selected {_some(row['selected'])}")
    if row.get("absent"):
        parts.append(f"absent {_by_reason(row['absent'])}")
    if row.get("staleness") is not None:
        parts.append(f"staleness {row['staleness']:.3g} (at most {row['stalest']})")
    if row.get("policy"):
        parts.append(f"policy {row['policy']}")
    if row.get("refused"):
        parts.append(f"refused {_by_reason(row['refused'])}")
    if row.get("warning"):
        parts.append(f"warning: {row['warning']}")
    if row.get("restarts") is not None:
        parts.append(f"restarts {row['restarts']}")
    if row.get("bytes") is not None:
        count = row.get("messages")
        of = "" if count is None else f" ({counted(count, 'message')})"
        parts.append(f"traffic {human_bytes(row['bytes'])}{of}")
    return "  ".join(parts)


def _by_reason(reasons: Mapping[str, str]) -> str:
    workers: dict[str, list[str]] = {}
    for worker, reason in reasons.items():
        workers.setdefault(reason, []).append(worker)
    return ", ".join(f"{_some(names)} ({reason})" for reason, names in workers.items())


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def closing_line(result: Result, *, local_parts: bool = False) -> str:
    """Return how a run ended as a line for people.

    Args:
        result: of the run.
        local_parts: whether parts of its model are local, so that a ``test()`` is of no use.
    """
    loss = result.metrics.get("loss")
    notes: list[str] = []
    if result.accuracy is not None:
        reached = f"accuracy {result.accuracy:.4f}"
    elif loss is not None:
        reached = f"loss {loss:.4f}"
    elif result.metrics:
        reached = "no accuracy"
        if all(value is None for value in result.metrics.values()):
            reached = "done"
            notes.append(
                "nothing was left to evaluate on: what `validate` holds back or test() gives is "
                "empty, or all of it is washed out"
            )
    else:
        reached = "done"
        instead = "" if local_parts else ", or give the task a test()"
        notes.append(f"nothing to evaluate on: set `validate`{instead}")
    if result.baselines is not None:
        notes.append(comparison(result.baselines))
    if not result.merged:
        notes.append("no update was merged in any round: the model is the initial one")
    if result.unpromised:
        notes.append("the same bits are not promised")
    counts = f"{counted(result.rounds, 'round')}, {counted(result.restarts, 'restart')}"
    return "; ".join(
        [f"{reached} after {counts}", *notes, f"model {result.sha256}", str(result.directory)]
    )


def comparison(baselines: Baselines) -> str:
    """Return what the same budget reaches without federation; the loss where no accuracy is."""
    name = "accuracy" if "accuracy" in baselines.centralised else "loss"
    values = (baselines.centralised.get(name), baselines.local_only.get(name))
    central, local = ("none" if value is None else f"{value:.4f}" for value in values)
    return f"centralised {central}, local only {local}"


def took_effect(faults: Mapping[str, int]) -> str:
    """Return how often each kind of a fault plan took effect as a line for people."""
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
    return f"faults that took effect: {counts or 'none'}"


def summary(result: Result) -> dict[str, Any]:
    """Return how a run ended as what ``--json`` writes."""
    return {
        "accuracy": result.accuracy,
        "sha256": result.sha256,
        "rounds": result.rounds,
        "restarts": result.restarts,
        "run": str(result.directory),
        **({} if result.baselines is None else {"baselines": asdict(result.baselines)}),
    }


def summary_of_seeds(swept: Swept) -> dict[str, Any]:
    """Return how a sweep over seeds ended as what ``--json`` writes."""
    compared = {
        name: {metric: asdict(spread) for metric, spread in spreads.items()}
        for name, spreads in swept.baselines.items()
    }
    return {
        "accuracy": swept.mean,
        "sd": swept.sd,
        "metrics": {name: asdict(spread) for name, spread in swept.metrics.items()},
        **({"baselines": compared} if compared else {}),
        "seeds": list(swept.seeds),
        "runs": [summary(result) for result in swept.results],
    }


def human_bytes(count: int) -> str:
    """Return a number of bytes with three digits and a decimal unit."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def sentence_and_code(error: Exception) -> tuple[str, ExitCode]:
    """Return what the command line says about an error, and how it ends."""
    from actors.errors import GaveUp, NodeError, StorageError, UsageError

    if isinstance(error, ActorflError) and error.exit_code is not ExitCode.INTERNAL:
        return str(error), error.exit_code
    if isinstance(error, UsageError):
        return str(error), ExitCode.CONFIG
    if isinstance(error, StorageError):
        return str(error), ExitCode.RUN_DIRECTORY
    if isinstance(error, GaveUp | NodeError):
        return str(error), ExitCode.RUN_FAILED
    sentence = f"internal error, {type(error).__name__}: {error}; --debug shows where"
    return sentence, ExitCode.INTERNAL


class Output:
    """Lines to a stream that may be closed by its reader, as in ``actorfl run ... | head``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    @property
    def closed(self) -> bool:
        """Whether nobody reads any more."""
        return self._stream is None

    def line(self, text: str) -> None:
        """Write a line at once; when nobody reads any more the run goes on in silence."""
        if self._stream is None:
            return
        try:
            print(text, file=self._stream, flush=True)
        except BrokenPipeError:
            # Else the interpreter fails when it flushes the stream at exit.
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123  (a device, not a path)
                os.dup2(nowhere.fileno(), self._stream.fileno())
            self._stream = None


def print_remote(error: Exception) -> None:
    """Print the traceback of another process, unless it was printed with the error."""
    remote = getattr(error, "remote_traceback", "")
    if remote and not getattr(error, "__notes__", ()):  # else it was printed with the error
        print(remote, file=sys.stderr)


@contextlib.contextmanager
def told_in_one_line(*, debug: bool) -> Iterator[None]:
    """Within it every error ends the command with one line and a code, an interrupt with another.

    Args:
        debug: whether the traceback of an error is shown above its line.
    """
    try:
        yield
    except KeyboardInterrupt:
        with uninterrupted():
            fail("interrupted", ExitCode.INTERRUPTED)
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001  (every error ends as one line and a code)
        if debug:
            traceback.print_exc()
        fail(*sentence_and_code(error))


def fail(sentence: str, code: ExitCode) -> NoReturn:
    """End the command with one line on standard error.

    Raises:
        typer.Exit: always.
    """
    print(f"actorfl: {' '.join(sentence.split())}", file=sys.stderr)
    raise typer.Exit(int(code))


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun, in the plural where it is not 1."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"
