"""What ``actorfl simulate`` says of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from actorfl import saying
from actorfl.run import Run
from actorfl.saying import closing_line, human_bytes
from actorfl.simulate.fleet import counted
from actorfl.simulate.playing import Outcome
from actorfl.simulate.settings import Simulate
from actorfl.until import Rounds

#: Bins of the staleness that are shown in a line; the JSON has all.
_SHOWN = 12


def heading(run: Run, settings: Simulate) -> str:
    """What is about to be simulated."""
    nodes = counted(settings.classes, len(run.topology.names))
    until = run.until
    end = saying.counted(until.rounds, "round") if isinstance(until, Rounds) else str(until)
    shown = ", ".join(f"{count} {name}" for name, count in nodes.items())
    return f"{run.name}: {len(run.topology.names)} simulated nodes ({shown}), {end}"


def summary(outcome: Outcome) -> dict[str, Any]:
    """What ``--json`` writes; the same for the same seed, but ``wall``, ``memory`` and ``run``."""
    result, simulation = outcome.result, outcome.simulation
    return {
        "nodes": dict(outcome.nodes),
        "virtual": round(simulation.seconds, 6),
        "wall": round(outcome.wall, 3),
        "memory": round(outcome.memory, 1),
        "rounds": result.rounds,
        "restarts": result.restarts,
        "accuracy": result.accuracy,
        "target": outcome.target,
        "time_to_accuracy": outcome.reached,
        "messages": simulation.network.delivered,
        "lost": simulation.network.lost,
        "bytes": simulation.network.nbytes,
        "links": {name: dict(traffic) for name, traffic in outcome.links.items()},
        "staleness": _staleness(outcome),
        **({} if result.baselines is None else {"baselines": asdict(result.baselines)}),
        "sha256": result.sha256,
        "digest": simulation.digest,
        "run": str(result.directory),
    }


def lines(outcome: Outcome) -> list[str]:
    """How it went, for people."""
    network = outcome.simulation.network
    said = [
        closing_line(outcome.result),
        (
            f"virtual {outcome.simulation.seconds:.3f} s, wall {outcome.wall:.1f} s, "
            f"{network.delivered} messages ({network.delivered / outcome.wall:.0f} per second of "
            f"wall), {human_bytes(network.nbytes)}, at most {outcome.memory:.0f} MiB of memory"
        ),
    ]
    said += [
        f"  {name}: {traffic['messages']} messages, {human_bytes(traffic['bytes'])}"
        for name, traffic in outcome.links.items()
    ]
    if outcome.target is not None:
        reached = "not reached" if outcome.reached is None else f"{outcome.reached:.3f} virtual s"
        said.append(f"time to accuracy {outcome.target:g}: {reached}")
    if outcome.staleness is None:
        return said
    bins = [f"{versions}: {parts}" for versions, parts in outcome.staleness.items()]
    more = f" and {len(bins) - _SHOWN} more" if len(bins) > _SHOWN else ""
    said.append(f"staleness in versions: {', '.join(bins[:_SHOWN]) or 'nothing merged'}{more}")
    return said


def _staleness(outcome: Outcome) -> dict[str, int] | None:
    if outcome.staleness is None:
        return None
    return {str(versions): parts for versions, parts in outcome.staleness.items()}
