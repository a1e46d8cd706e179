"""What of a run fits together where its nodes run a program of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.errors import Misfit
from actorfl.local import SGD
from actorfl.peersampling.topologies import Sampled
from actorfl.sync import BSP
from actorfl.topology import Peers

if TYPE_CHECKING:
    from actorfl.run import Run


def check(run: Run) -> None:
    """Refuse a run of a program for nodes, or without a centre, whose parts do not fit together.

    Raises:
        Misfit: with a sentence that says what to change.
    """
    topology = type(run.topology).__name__
    if run.node is None:
        such = "DPSGD" if run.algorithm.takes_steps else "ReadoutConsensus"
        raise Misfit(
            f"{topology} has no centre, and {type(run.algorithm).__name__} needs one; give the "
            f"nodes an algorithm between neighbours, such as {such}, or a program, node="
            '"file.py:Class", or use Star or Tree'
        )
    name = type(run.node).__name__
    if not isinstance(run.topology, Peers):
        raise Misfit(
            f"{topology} has a centre, and {name} is a program for nodes that talk to each other; "
            "use RingGraph, or an algorithm instead of `node`"
        )
    if isinstance(run.topology, Sampled):
        raise Misfit(
            f"in {topology} nodes meet as it happens, and {name} sends to neighbours that stay; "
            "use a graph such as RegularGraph, or Gossip with Period instead of `node`"
        )
    if run.select is not None or run.sync_of or run.sync != BSP():
        raise Misfit(f"{name} says itself when each node goes on; remove `sync` and `select`")
    if not isinstance(run.local, SGD):
        raise Misfit(f"the nodes of {name} train by themselves; use local=SGD(...)")
    if run.has_local_parts or run.parts.has("mean"):
        raise Misfit(f"{name} says itself what a node sends of its model; remove `parts`")
    if run.compress is not None:
        raise Misfit(f"{name} sends whole models; remove `compress`")
    if run.stays or run.supervision.exhausted == "leave":
        what = "`stays`" if run.stays else "`supervision.exhausted`"
        raise Misfit(f"the neighbours of {name} wait for each other to the end; remove {what}")
    for key in ("record", "baselines", "combine"):
        if getattr(run, key):
            raise Misfit(f"`{key}` is for runs with a centre, and {topology} has none; remove it")
