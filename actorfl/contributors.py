"""Whose parts an aggregator merges, and whose are in what it sends up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.topology import Node

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
