"""Whose parts an aggregator merges, and who is to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.topology import Node
from actorfl.tree import Levelled

if TYPE_CHECKING:
    from actorfl.run import Run


def contributors(run: Run, node: Node) -> tuple[str, ...]:
    """Whose parts an aggregator merges: the workers below it, or aggregators with updates.

    Args:
        run: says which aggregators send updates of their own.
        node: the aggregator.

    Returns:
        Their names, in the order of the topology.
    """
    found: list[str] = []
    for each in node.below:
        if each.below and not run.sends_updates(each.level, node.level):
            found.extend(contributors(run, each))
        else:
            found.append(each.name)
    return tuple(found)


def keeps_at_workers(run: Run) -> bool:
    """Whether workers keep something between clocks that a part which is not taken leaves alone."""
    feeds_back = run.compress is not None and run.compress.stateful
    return run.algorithm.keeps_state or run.has_local_parts or feeds_back


def missed_in_tree(run: Run) -> bool:
    """Whether the root tells of all workers of a tree from which clock on their parts are missing.

    It is where a clock may close without some that keep a state: aggregators below the root know
    neither what became of what they sent, nor, once they were restarted, who was in it.
    """
    if not isinstance(run.topology, Levelled) or not keeps_at_workers(run):
        return False
    levels = [level for level, _ in run.topology.levels[:-1]]
    return (
        len(levels) > 1
        and any(run.sync_at(level).partial for level in levels)
        and not any(map(run.sends_updates, levels[1:], levels))
    )
