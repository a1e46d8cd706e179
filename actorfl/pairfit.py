"""What of a run without a centre fits together, where an algorithm says what its nodes compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.errors import Misfit
from actorfl.letters import MOST_KEPT
from actorfl.local import SGD
from actorfl.pairing import PairAlgorithm
from actorfl.peersampling.topologies import Sampled
from actorfl.sync import SSP, Period
from actorfl.topology import Peers
from actorfl.until import Clocks, Rounds

if TYPE_CHECKING:
    from actorfl.run import Run

# A node that is ahead keeps a letter for each round that its neighbour is behind, and some more.
_MOST_STALE = MOST_KEPT - 4


def check(run: Run) -> None:
    """Refuse a run of an algorithm between neighbours whose parts do not fit together.

    Raises:
        Misfit: with a sentence that says what to change.
    """
    algorithm, topology = run.algorithm, run.topology
    name = type(algorithm).__name__
    if not isinstance(topology, Peers):
        other = "FedAvg" if algorithm.takes_steps else "RidgeReadout"
        raise Misfit(
            f"{name} is computed between neighbours, and {type(topology).__name__} has an "
            f"aggregator; use a topology without a centre, such as RingGraph, or {other}"
        )
    if not isinstance(algorithm, PairAlgorithm):
        raise Misfit(
            f"{name} merges by {algorithm.reduce!r} but is no PairAlgorithm, so nobody knows what "
            "neighbours send each other; derive it from actorfl.PairAlgorithm"
        )
    policy = _policy(run, algorithm)
    if isinstance(topology, Sampled):
        such = "Gossip" if policy == "Period" else "Gossip with Period"
        raise Misfit(
            f"in {type(topology).__name__} nodes meet as it happens, and {name} is for neighbours "
            f"that each knows beforehand; use a graph such as RegularGraph, or {such}"
        )
    if not isinstance(run.local, SGD):
        raise Misfit(f"the nodes of {name} train by themselves; use local=SGD(...)")
    if policy != "Period" and not isinstance(run.until, Rounds | Clocks):
        raise Misfit(
            f"no node of {type(topology).__name__} sees what all have done, so {name} ends after a "
            "number of rounds of each; use until=Rounds(...)"
        )
    if isinstance(run.sync, SSP) and run.sync.staleness:
        if run.sync.staleness > _MOST_STALE:
            raise Misfit(
                f"SSP({run.sync.staleness}) lets a node be further ahead than its neighbours' "
                f"letters are kept; use a staleness of at most {_MOST_STALE}"
            )
        if not topology.fixed and algorithm.late == "again":
            raise Misfit(
                f"{name} counts on what each neighbour sent last, and those of "
                f"{type(topology).__name__} are others in each round; use BSP"
            )
    if isinstance(run.until, Rounds | Clocks) and (over := run.until.number % algorithm.together):
        whole = run.until.number - over
        either = f"{whole} or {whole + algorithm.together}" if whole else f"{algorithm.together}"
        raise Misfit(
            f"what nodes of {name} learn changes every {algorithm.together} rounds, and of "
            f"{run.until.number} the last {over} would be in vain; use {either} rounds"
        )
    _check_whole(run, name)
    most = max(len(topology.neighbours(node)) for node in topology.names)
    algorithm.check_run(run.local, 1 + most)
    algorithm.check_peers(topology, policy)


def leaves(run: Run) -> bool:
    """Whether a node that failed too often is of the run no more, and the others go on."""
    if run.supervision.exhausted is not None:
        return run.supervision.exhausted == "leave"
    return isinstance(run.sync, Period) and (
        isinstance(run.algorithm, PairAlgorithm) and run.algorithm.outlives
    )


def _pairs(algorithm: PairAlgorithm) -> bool:
    """Whether it is AD-PSGD, or trains as that does; what it keeps is looked at as it starts."""
    return isinstance(algorithm, ADPSGD) and type(algorithm).trained is PairAlgorithm.trained


def _policy(run: Run, algorithm: PairAlgorithm) -> str:
    """The name of the run's policy, which the algorithm goes with."""
    name, policy = type(algorithm).__name__, type(run.sync).__name__
    if run.sync_of:
        raise Misfit(f"{name} has no levels; give one `sync`")
    family = run.sync.family if policy in {"BSP", "SSP"} else policy
    known = (*algorithm.policies, *(("Period",) if algorithm.periods else ()))
    if family not in known:
        raise Misfit(
            f"{name} does not go with {policy}; between neighbours it runs under "
            f"{' or '.join(known)}"
        )
    if family == "ASP" and not _pairs(algorithm):
        raise Misfit(
            f"{name} goes with ASP, under which nodes average in pairs as ADPSGD does, and neither "
            "keep what else is in their state nor call `trained`; derive it from ADPSGD and leave "
            "`trained` alone, or take ASP out of its `policies`"
        )
    if run.sync.inner > 1:
        raise Misfit(
            f"BSP with rounds={run.sync.inner} is for aggregators below a root; how many rounds "
            "nodes have is said by `until`"
        )
    return family


def _check_whole(run: Run, name: str) -> None:
    """What is for runs with a centre."""
    outlives = isinstance(run.algorithm, PairAlgorithm) and run.algorithm.outlives
    goes_on = isinstance(run.sync, Period) and outlives
    if run.select is not None:
        raise Misfit(f"the nodes of {name} wait for their neighbours; remove `select`")
    if run.has_local_parts or run.parts.has("mean"):
        raise Misfit(f"{name} says itself what a node sends of its model; remove `parts`")
    if run.compress is not None:
        raise Misfit(
            f"what {name} sends is mixed as it is, and {type(run.compress).__name__} would spoil "
            "it; remove `compress`, or use ChocoSGD, whose nodes send compressed differences"
        )
    if (run.stays or leaves(run)) and not goes_on:
        what = "`stays`" if run.stays else "`supervision.exhausted`"
        raise Misfit(
            f"the nodes of {name} count on their neighbours to the end; remove {what}, or use "
            "Gossip or EpidemicLearning with Period"
        )
    for key in ("record", "baselines", "combine"):
        if getattr(run, key):
            raise Misfit(
                f"`{key}` is for runs with a centre, and {type(run.topology).__name__} has none; "
                "remove it"
            )
