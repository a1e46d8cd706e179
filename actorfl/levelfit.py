"""What fits together at the levels of a run: their algorithms and policies, and those above."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actorfl.algorithm import Algorithm
from actorfl.contributors import contributors, missed_in_tree
from actorfl.errors import Misfit
from actorfl.local import SGD
from actorfl.stayfit import numbers
from actorfl.topology import Centred
from actorfl.tree import Levelled

if TYPE_CHECKING:
    from actorfl.run import Run


def check(run: Run) -> None:
    """Refuse algorithms and policies that do not go with each other at the levels of a run.

    Raises:
        ConfigError: with a sentence that says what to change.
    """
    levels = ["root"]
    for algorithm in (run.algorithm, *(each for _, each in run.algorithm_of)):
        if algorithm.edge_rounds is None:
            continue
        name = type(algorithm).__name__
        if not isinstance(run.topology, Levelled) or len(run.topology.levels) != 3:
            raise Misfit(
                f"{name} is for a root, edges and workers, such as Tree(root=1, edge=4, "
                "worker=8); use that, or FedAvg"
            )
        if run.sync_of or run.algorithm_of:
            raise Misfit(
                f"{name} says itself how many rounds an edge has; give one `sync` and one "
                "`algorithm`, or FedAvg with a policy for each level"
            )
    if isinstance(run.topology, Levelled):
        levels = [level for level, _ in run.topology.levels[:-1]]
    for place, level in enumerate(levels):
        sync, algorithm = run.sync_at(level), run.algorithm_at(level)
        name, policy = type(algorithm).__name__, type(sync).__name__
        keeps = run.algorithm.keeps_state or run.has_local_parts
        if sync.partial and len(levels) > 1 and keeps and not missed_in_tree(run):
            raise Misfit(
                f"{type(run.algorithm).__name__} keeps a state at the workers, which a round that "
                f"they missed must leave alone, and under {policy} nobody knows which those were "
                "where aggregators of a Tree send updates of their own; use one algorithm with BSP "
                "or Quorum at all levels, or Star"
            )
        if sync.family not in algorithm.policies:
            raise Misfit(
                f"{name} does not go with {policy}; its equations hold under "
                f"{', '.join(algorithm.policies)}"
            )
        forwards = (
            place > 0
            and algorithm.reduce == "all"
            and not run.sends_updates(level, levels[place - 1])
        )
        if forwards and (sync.partial or run.sync_at(levels[place - 1]).partial):
            partial = policy if sync.partial else type(run.sync_at(levels[place - 1])).__name__
            raise Misfit(
                f"{name} looks at each model by itself, and the aggregators of a Tree forward them "
                f"whole, all of a clock at once, under BSP and not under {partial}; use BSP at all "
                "levels, Star, or another algorithm for each level"
            )
        parts = _parts_at(run, level) if not run.stays else min(numbers(run))
        asked = parts if run.select is None else run.select.least(parts)
        # Who forwards models whole merges none of them.
        if isinstance(run.local, SGD) and not forwards:
            try:
                algorithm.check_run(run.local, sync.least(asked))
            except Misfit as error:
                if parts == len(run.topology.names):
                    raise
                raise Misfit(f"{error} (level `{level}` merges {parts})") from None
        if place > 0 and run.record and run.sends_updates(level, levels[place - 1]):
            raise Misfit(
                f"`record` keeps the models that the root sends down, and the level `{level}` "
                "sends down others that it has moved; remove it, or use one algorithm and "
                "rounds=1 for all levels"
            )
        if place == 0:
            if sync.inner > 1:
                raise Misfit(
                    f"{policy} with rounds={sync.inner} is for aggregators below the root; how "
                    "many rounds the root has is said by `until`"
                )
            continue
        above = levels[place - 1]
        if not sync.barrier:
            raise Misfit(
                f"{policy} is for the root of a Tree, not for its level `{level}`: take BSP or "
                f'Quorum there, as in sync={{"{level}": BSP(), "{levels[0]}": {policy}(...)}}'
            )
        keeps = algorithm.keeps_state or run.has_local_parts
        if keeps and sync.inner > 1:
            raise Misfit(
                f"{name} keeps a state at the workers, which an aggregator that begins its "
                f"{sync.inner} rounds again after a crash would need of each; use rounds=1"
            )
        # One that takes gradients as the one above does sends their mean, taken at its model.
        alike = algorithm == run.algorithm_at(above) and sync.inner == 1
        if run.sends_updates(level, above) and run.algorithm_at(above).gradients and not alike:
            raise Misfit(
                f"{type(run.algorithm_at(above)).__name__} takes gradients, and the level "
                f"`{level}` sends models that it has moved; use it at the innermost level alone, "
                "or the same one at all levels, with rounds=1"
            )
        if run.sends_updates(level, above) and run.algorithm_at(above).keeps_state:
            raise Misfit(
                f"{type(run.algorithm_at(above)).__name__} keeps a state at whoever sends "
                f"updates, and the level `{level}` keeps none; use it at the innermost level"
            )
        if run.sends_updates(level, above) and algorithm.stateful and _keeps_on_server(algorithm):
            raise Misfit(
                f"{name} keeps a state on the server that goes with those of the workers, and the "
                f"level `{level}`, which sends updates of its own, begins with none in each round "
                f"of the level above; use {name} at all levels, with BSP or Quorum"
            )


def _keeps_on_server(algorithm: Algorithm) -> bool:
    """Whether there is more to its state than the model."""
    try:
        state = algorithm.begin(np.zeros(1, dtype=np.float32))
    except Exception:  # noqa: BLE001  (user code, which may count on its own model)
        return True
    return bool(state.vectors or state.scalars)


def _parts_at(run: Run, level: str) -> int:
    """How many parts an aggregator of a level merges, at the least."""
    if not isinstance(run.topology, Centred):
        return len(run.topology.names)
    found = []
    nodes = [run.topology.root]
    while nodes:
        for node in nodes:
            if node.level != level:
                continue
            found.append(len(contributors(run, node)))
        nodes = [each for node in nodes for each in node.below if each.below]
    return min(found, default=len(run.topology.names))
