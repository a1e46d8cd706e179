"""What ``actorfl chaos`` does and says."""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from actorfl.chaos import plans, scenario
from actorfl.rundir import shown, unusable
from actorfl.saying import counted, took_effect
from actorfl.until import Rounds
from actors import UsageError
from actors.testing.chaos import Failed, Played, Report, explore, replay
from transports.sim import TRACE_VERSION

_SCENARIO = "actorfl.chaos.scenario:scenario"
#: Bytes: what a process may have grown by over the second half of its seeds; checked from so many
#: seeds on, since less tells a leak from a cache that fills.
MOST_GROWTH = 5_000_000
ENOUGH_SEEDS = 1000
#: Events of the story that are shown; the replay shows all of them.
_SHOWN = 25
_DIGEST = "# trace "
_VERSION = f"version {TRACE_VERSION} "

Say = Callable[[str], object]


def chaos(
    file: Path,
    settings: Sequence[str],
    seeds: range,
    *,
    jobs: int,
    out: Path,
    say: Say,
) -> tuple[Report, list[str]]:
    """Play a run under many schedules of faults.

    Args:
        file: the configuration.
        settings: as for ``actorfl run --set``.
        seeds: of the schedules.
        jobs: processes that play.
        out: where the schedules of failed seeds are left.
        say: takes lines for people: progress, and what failed.

    Returns:
        The report, and what does not hold of all plays together.

    Raises:
        ConfigError: the configuration is refused.
        RunDirectoryError: a schedule cannot be written.
    """
    run, settled = scenario.read(file, settings)  # refused here, not in a process of its own
    _writable(out)
    assert isinstance(run.until, Rounds)
    say(
        f"{run.name}: {counted(len(seeds), 'fault schedule')}, "
        f"{counted(settled.processes, 'simulated worker process', 'simulated worker processes')}, "
        f"{counted(run.until.rounds, 'round')}"
    )
    say_progress = _Progress(len(seeds), say)

    def on_failed(failed: Failed) -> None:
        path = written(failed, out)
        words = ["actorfl", "chaos", str(file)]
        words += [word for setting in settings for word in ("--set", setting)]
        say(told(failed, shlex.join([*words, "--replay", str(shown(path))])))

    report = explore(
        _SCENARIO, seeds, arguments=(str(file.absolute()), *settings), jobs=jobs,
        on_played=say_progress, on_failed=on_failed,
    )  # fmt: skip
    return report, together(report)


def together(report: Report, *, enough: int = ENOUGH_SEEDS) -> list[str]:
    """What does not hold of all plays together; growth is judged from ``enough`` seeds on."""
    if report.seeds >= enough and report.growth > MOST_GROWTH:
        grown, most = report.growth / 1e6, MOST_GROWTH / 1e6
        return [f"a process grew by {grown:.1f} MB over its last seeds, more than {most:.0f} MB"]
    return []


def again(file: Path, settings: Sequence[str], schedule: Path, say: Say) -> dict[str, Any]:
    """Play one schedule that was left by a failed seed, or was written by hand.

    Returns:
        What ``--json`` writes: seed, what does not hold, digest, whether it is the one that the
        file names (None where it names none), faults, kills, restarts, virtual seconds.

    Raises:
        ConfigError: the configuration is refused.
        MissingFile: the file of the schedule cannot be read.
        UsageError: it holds no schedule, or one for processes that do not exist, or names a trace
            of another version than is made here.
    """
    run, settled = scenario.read(file, settings)
    plan = plans.read(schedule)
    expected = _digest_in(schedule)
    evidence, broken = replay(scenario.scenario_of(run, settled), plan)
    same = None if expected is None else expected == evidence.digest
    for line in evidence.story:
        say(line)
    for name, sentence in broken.items():
        say(f"does not hold: {name}: {sentence}")
    if not broken:
        say("everything holds under this schedule")
    told_same = {None: "", True: ", the same as when it was found", False: ", ANOTHER one than"
                 " when it was found: the code or the configuration has changed"}[same]  # fmt: skip
    say(f"trace {evidence.digest}{told_same}")
    return {
        "seed": plan.seed,
        "broken": broken,
        "digest": evidence.digest,
        "same": same,
        "faults": dict(evidence.faults),
        "kills": evidence.kills,
        "restarts": evidence.restarts,
        "virtual": round(evidence.seconds, 6),
    }


def told(failed: Failed, command: str) -> str:
    """A failed seed, for people."""
    lines = [f"seed {failed.seed} FAILED"]
    lines += [f"  {name}: {sentence}" for name, sentence in failed.broken.items()]
    lines += [
        (
            f"the schedule, {failed.faults} of its {failed.drawn} faults left after {failed.plays} "
            "plays:"
        ),
        *(f"  {line}".rstrip() for line in failed.plan.strip().splitlines()),
        "the last events:",
        *failed.story[-_SHOWN:],
        f"play it again: {command}",
    ]
    return "\n".join(lines)


def summary_lines(report: Report, trouble: Sequence[str]) -> list[str]:
    """How it went, for people."""
    failed = len(report.failed)
    each = report.seconds / max(1, report.seeds)
    lines = [
        (
            f"{counted(report.seeds, 'schedule')} in {report.seconds:.0f} s ({each:.2f} s each), "
            f"{counted(report.digests, 'different trace')}, {counted(report.kills, 'kill')}, "
            f"{counted(report.restarts, 'restart')}"
        ),
        took_effect(report.faults),
    ]
    if failed:
        seeds = ", ".join(str(one.seed) for one in report.failed[:10])
        lines.append(f"{failed} failed: seed {seeds}{' and more' if failed > 10 else ''}")
        left = next((one for one in report.failed if not one.plan), None)
        if left is not None:
            lines.append(
                "not all were shortened; this does so with one of them: "
                f"--first {left.seed} --seeds 1"
            )
    lines += trouble
    if not failed and not trouble:
        lines.append("everything held under every schedule")
    return lines


class _Progress:
    """A line now and then."""

    def __init__(self, seeds: int, say: Say) -> None:
        self._seeds = seeds
        self._say = say
        self._played = self._failed = 0
        # About twenty lines, whatever the number.
        self._step = max(1, seeds // 20)

    def __call__(self, played: Played) -> None:
        self._played += 1
        self._failed += bool(played.broken)
        if self._played % self._step == 0 or self._played == self._seeds:
            self._say(f"{self._played}/{self._seeds} played, {self._failed} failed")


def written(failed: Failed, out: Path) -> Path:
    """Leave the schedule of a failed seed in a directory; the file.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    path = out / f"chaos-{failed.seed}.toml"
    broken = "".join(_commented(f"{name}: {said}") for name, said in failed.broken.items())
    text = f"{_DIGEST}{_VERSION}{failed.digest}\n{broken}{failed.plan}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unusable("write", path, error) from error
    return path


def _writable(out: Path) -> None:
    """Refuse now what would be found out when the first schedule is to be written."""
    while not out.exists() and out != out.parent:
        out = out.parent
    if not out.is_dir() or not os.access(out, os.W_OK | os.X_OK):
        reason = errno.EACCES if out.is_dir() else errno.ENOTDIR
        raise unusable("write schedules to", out, OSError(reason, os.strerror(reason)))


def _commented(text: str) -> str:
    """As comments of TOML, which may hold no control characters: an exception's text has lines."""
    lines = (re.sub(r"[^\t -~\x80-\U0010ffff]", "?", line) for line in text.splitlines())
    return "".join(f"# {line}\n" for line in lines)


def _digest_in(schedule: Path) -> str | None:
    for line in schedule.read_text(encoding="utf-8").splitlines():
        if line.startswith(_DIGEST):
            told = line.removeprefix(_DIGEST)
            if told.startswith(_VERSION):
                return told.removeprefix(_VERSION).strip()
            raise UsageError(
                f"{shown(schedule)} names a trace of another version than {TRACE_VERSION}, so it "
                "was found by another version of actorfl, and what it found may not come again: "
                f"remove its line {line[:40]!r} to play its faults all the same"
            )
    return None
