"""What of a run fits together: all that can be refused before anything starts."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

from actorfl import levelfit, nodefit, pairfit, stayfit
from actorfl.algorithm import Algorithm
from actorfl.algorithms.gossip import Gossip
from actorfl.availability import Available
from actorfl.combining import misfit
from actorfl.compression import Compression
from actorfl.contributors import missed_in_tree
from actorfl.defined import check_defined, check_signatures
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.esn.fitting import check_readout
from actorfl.esn.task import EchoStateTask
from actorfl.estimator import EstimatorTask
from actorfl.every import Every, evaluated_at
from actorfl.local import SGD, Gradients
from actorfl.naming import check_run_name
from actorfl.nested import Nested
from actorfl.nodes import NodeLoop
from actorfl.packing import names_in
from actorfl.pairing import PairAlgorithm
from actorfl.peersampling.topologies import UniformPeers
from actorfl.periods import check_periods
from actorfl.ranges import check_word
from actorfl.rules import check_rules
from actorfl.sampling import Selection
from actorfl.seeds import SEED_MAX
from actorfl.supervision import Supervision
from actorfl.switch import Switch
from actorfl.sync import Period
from actorfl.task import Task
from actorfl.topology import Centred, Peers, Star, check_own_wiring
from actorfl.tree import Levelled
from actorfl.until import Clocks, Rounds, Updates, ends_of

if TYPE_CHECKING:
    from actorfl.run import Run

# Each buffer holds a whole model; more than this many only hides that workers wait for each other.
_LANDING_MAX: Final = 64

#: Of what is no slot: its type, what that is called, and whether it may be left out.
_TYPES: dict[str, tuple[Any, str, bool]] = {
    "base": (str | os.PathLike, "a directory", True),
    "name": (str, "str", True),
    "validate": (Real, "a number", False),
    "evaluate": (Every, "an Every", True),
    "supervision": (Supervision, "a Supervision", True),
    "durability": (str, "str", False),
    "landing": (int, "int", False),
}


def check_types(**given: object) -> None:
    """Refuse what is of another type.

    Raises:
        WrongType: with the first one.
    """
    for key, value in given.items():
        kind, called, optional = _TYPES[key]
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, kind):
            raise WrongType(f"`{key}` of Run", called, value)


def check(run: Run, *, partitioned: bool) -> None:
    """Refuse a run whose parts do not fit together.

    Args:
        run: to be looked at.
        partitioned: whether a partition was asked for.

    Raises:
        ConfigError: with a sentence that says what to change.
    """
    _check_own_code(run)
    topology = run.topology
    if isinstance(topology, Peers):
        check_own_wiring(topology)
    if partitioned and not run.task.pooled:
        raise Misfit(
            f"task {type(run.task).__name__} has its own data per worker, by train(who), so "
            "nothing is dealt out; remove `partition`, or define pool() instead of train"
        )
    if run.partition.by == "groups" and run.task.pooled and not run.task.grouped:
        raise Misfit(
            f"{type(run.partition).__name__} deals out whole groups, and task "
            f"{type(run.task).__name__} names none; give it a method groups() that returns "
            "the group of each example of its pool"
        )
    if not 0.0 <= run.validate < 1.0:
        raise WrongValue("`validate` of Run", "at least 0 and below 1", run.validate)
    if isinstance(run.seed, bool) or not isinstance(run.seed, int):
        raise WrongType("`seed` of Run", "int", run.seed)
    if not 0 <= run.seed <= SEED_MAX:
        raise WrongValue("`seed` of Run", "from 0 to 2^63 - 1", run.seed)
    check_word(run, "durability", ("process", "machine"))
    if not 1 <= run.landing <= _LANDING_MAX:
        raise WrongValue("`landing` of Run", f"from 1 to {_LANDING_MAX}", run.landing)
    check_run_name(run, _processes(run))
    for key in ("strict", "record", "baselines"):
        if not isinstance(getattr(run, key), bool):
            raise WrongType(f"`{key}` of Run", "bool", getattr(run, key))
    combine: object = run.combine
    if not isinstance(combine, bool) and not (isinstance(combine, str) and combine == "auto"):
        raise WrongValue("`combine` of Run", 'true, false or "auto"', run.combine)
    if run.combine is True and (why := misfit(run)) is not None:
        raise Misfit(f"`combine` adds up the workers of a process, but {why}; remove one of them")
    if isinstance(run.task, EstimatorTask):
        _check_estimator(run)
    check_readout(run)
    if run.node is None and (isinstance(run.sync, Period) or isinstance(run.algorithm, Gossip)):
        check_periods(run)
        evaluated_at(run)
        return
    if run.node is None and run.algorithm.reduce == "pair":
        pairfit.check(run)
        evaluated_at(run)
        return
    if isinstance(run.topology, Peers) or run.node is not None:
        nodefit.check(run)
        evaluated_at(run)
        return
    _check_parts(run)
    stayfit.check(run)
    levelfit.check(run)
    if run.record and not run.sync.barrier:
        raise Misfit(
            f"`record` keeps what each worker computes from by round, and under "
            f"{type(run.sync).__name__} there are none; remove it, or use BSP"
        )
    _check_select(run)
    _check_compress(run)
    _check_until(run)
    _check_buffer(run)
    _check_shards(run)
    _check_local(run)
    evaluated_at(run)


def _processes(run: Run) -> set[str]:
    """The names of the processes of a run, but for those of workers."""
    if not isinstance(run.topology, Centred):
        return {"gatherer", *(["membership"] if isinstance(run.topology, UniformPeers) else [])}
    found = {"aggregator", "evaluator"}
    if isinstance(run.topology, Star):
        found.update(run.topology.shard_names)
    if isinstance(run.topology, Levelled):
        found.update(name for name, _ in run.topology.levels[1:-1])
    if isinstance(run.topology, Nested):
        found.update(run.topology.processes)
    return found


def _check_own_code(run: Run) -> None:
    """Code of the user's own that would fail at once, however often it were restarted."""
    for algorithm in (run.algorithm, *(each for _, each in run.algorithm_of)):
        pair = isinstance(algorithm, PairAlgorithm)
        check_signatures(algorithm, PairAlgorithm if pair else Algorithm)
        if run.node is not None:
            continue
        if pair and not isinstance(algorithm, Gossip):  # whose nodes have a runtime of their own
            check_defined(algorithm, PairAlgorithm, "outgoing", "incoming")
        elif algorithm.reduce != "pair":
            check_defined(algorithm, Algorithm, "up", "close")
    if run.compress is not None:
        check_signatures(run.compress, Compression)
        check_defined(run.compress, Compression, "encode", "decode")
    check_signatures(run.task, Task)
    for base in (EstimatorTask, EchoStateTask):
        if isinstance(run.task, base):
            check_signatures(run.task, base)
    if run.select is not None:
        check_signatures(run.select, Selection)
    if isinstance(run.sync, Switch):
        check_signatures(run.sync, Switch)
    if run.node is not None:
        check_signatures(run.node, NodeLoop)


def _check_when(run: Run) -> None:
    """Refuse rules about who is there that decide nothing."""
    if not isinstance(run.select, Available):
        return
    names, rules = run.topology.names, run.select.when
    check_rules("`when` of `select` speaks", [rule.workers for rule in rules], names)
    for place, rule in enumerate(rules):
        if not rule.always:
            continue
        later = [one.workers for one in rules[place + 1 :]]
        spared = any(
            fnmatchcase(name, rule.workers) and fnmatchcase(name, pattern)
            for pattern in later
            for name in names
        )
        if not spared:
            raise Misfit(
                f"`when` of `select` says of the workers {rule.workers!r} that they are always "
                "there, as those are that no rule fits; give a share below 1, or a window, or "
                "remove it"
            )


def _check_select(run: Run) -> None:
    if run.select is None:
        return
    _check_when(run)
    for number in stayfit.numbers(run):
        run.select.size(number)
    if not run.sync.barrier:
        raise Misfit(
            f"`select` draws who computes a round, and under {type(run.sync).__name__} there "
            "are none; remove it, or use BSP or Quorum"
        )
    if isinstance(run.topology, Levelled) and len(run.topology.levels) > 2:
        between = ", ".join(f"`{level}`" for level, _ in run.topology.levels[1:-1])
        raise Misfit(
            "`select` draws from all workers, and the aggregators of a Tree between them and "
            f"the root ({between}) each wait for their own; remove it, or use Star"
        )


def _check_compress(run: Run) -> None:
    if run.compress is None:
        return
    name, how = type(run.algorithm).__name__, type(run.compress).__name__
    if not names_in(run.algorithm):
        raise Misfit(
            f"{name} sends nothing that is 0 where nothing was learned, so {how} would spoil it; "
            "remove `compress`, or use another algorithm, such as FedBuff or FedAvg"
        )
    if not run.compress.stateful or not isinstance(run.topology, Levelled):
        return
    between = run.topology.levels[1:-1]
    for level, _ in run.topology.levels[:-1]:
        sync = run.sync_at(level)
        if between and sync.partial and not missed_in_tree(run):
            raise Misfit(
                f"{how} keeps at the workers what is still to be sent, which a round that they "
                f"missed must leave alone, and under {type(sync).__name__} nobody knows which "
                "those were where aggregators of a Tree send updates of their own; use one "
                "algorithm with BSP or Quorum at all levels, Star, or EightBit"
            )
        if sync.inner > 1:
            raise Misfit(
                f"{how} keeps at the workers what is still to be sent, which an aggregator that "
                f"begins its {sync.inner} rounds again after a crash would need of each; use "
                "rounds=1, or EightBit"
            )


def _check_until(run: Run) -> None:
    """An end by a metric that nobody measures never comes."""
    measured = run.validate or (type(run.task).test is not Task.test and not run.has_local_parts)
    if run.until.metrics and not measured:
        instead = (
            "" if run.has_local_parts else f", or give task {type(run.task).__name__} a test()"
        )
        raise Misfit(
            f"`until` looks at the metric {min(run.until.metrics)!r}, and there is nothing to "
            f"measure it on; set `validate`, to 0.2 say{instead}"
        )


def _check_buffer(run: Run) -> None:
    """A model that never moves is nothing that anybody asks for."""
    if run.sync.barrier or not isinstance(run.topology, Centred):
        return
    parts = len(run.topology.root.below)
    ends = []
    for end in ends_of(run.until):
        if isinstance(end, Rounds | Clocks):
            ends.append(end.number * parts)
        elif isinstance(end, Updates):
            ends.append(end.updates)
    updates = min(ends, default=run.sync.buffer)
    if updates < run.sync.buffer:
        raise Misfit(
            f"the run ends after {updates} updates, and {type(run.sync).__name__} gathers "
            f"{run.sync.buffer} before the model moves; let `until` be later, or gather fewer"
        )


def _check_estimator(run: Run) -> None:
    """What an estimator's ``partial_fit`` hides, no algorithm can correct or count."""
    task = type(run.task).__name__
    for algorithm in (run.algorithm, *(each for _, each in run.algorithm_of)):
        if (
            algorithm.corrects_gradients or algorithm.counts_steps or algorithm.pulls
            or algorithm.personal or algorithm.gradients or algorithm.splits_phases
        ):  # fmt: skip
            raise Misfit(
                f"{type(algorithm).__name__} corrects, counts or chooses among steps, and {task} "
                "takes them in partial_fit, where nobody sees them; use FedAvg, or a task of torch"
            )
    if not isinstance(run.local, SGD):
        raise Misfit(f"{task} is trained by partial_fit, which tells no gradient; use SGD(...)")
    for setting, none in (("momentum", 0.0), ("weight_decay", 0.0), ("clip", None)):
        if getattr(run.local, setting) != none:
            raise Misfit(
                f"`{setting}` of `local` is for the local loop, and {task} is trained by "
                "partial_fit; remove it, and set what the estimator has for it in estimator()"
            )


def _check_shards(run: Run) -> None:
    if not isinstance(run.topology, Star) or run.topology.shards is None:
        return
    name, shards = type(run.algorithm).__name__, run.topology.shards
    if not run.algorithm.elementwise or run.algorithm.reduce != "sum":
        raise Misfit(
            f"{name} may look at the model as a whole, and in {shards} shards nobody has it; use "
            "ParameterServer, or leave `shards` out"
        )
    if run.stays or run.supervision.exhausted == "leave":
        what = "`stays`" if run.stays else "`supervision.exhausted`"
        raise Misfit(
            f"{shards} shards count on all workers to the end; remove {what}, or leave `shards` out"
        )
    if run.compress is not None:
        raise Misfit(
            f"`compress` makes an update smaller as a whole, and {shards} shards each take a slice "
            "of it; remove it, or leave `shards` out"
        )
    if run.sync.buffer > 1:
        raise Misfit(
            f"{type(run.sync).__name__} keeps updates that it has acknowledged, and {shards} "
            "shards keep none; use BSP, Quorum, SSP or ASP, or leave `shards` out"
        )


def _check_local(run: Run) -> None:
    name, local = type(run.algorithm).__name__, run.local
    if isinstance(local, SGD):
        if run.algorithm.gradients:
            raise Misfit(
                f"{name} takes gradients, and `local` takes steps by itself "
                f"({type(local).__name__}); use local=Gradients(batch=...)"
            )
        return
    if not isinstance(local, Gradients):
        raise WrongType("`local` of Run", "an SGD or a Gradients", local)
    if not run.algorithm.gradients:
        raise Misfit(
            f"{name} takes what workers have trained, and Gradients takes no step; use "
            "local=SGD(...), or ParameterServer, which moves the model by gradients"
        )
    if run.task.fits:
        raise Misfit(
            f"fit of {type(run.task).__name__} takes steps of its own, and Gradients takes none; "
            "use local=SGD(...), or a task without a fit of its own"
        )
    if run.has_local_parts or run.parts.has("mean") or run.algorithm.personal:
        raise Misfit(
            "Gradients takes no step, so whatever is not moved by the server would never be "
            'trained; leave all of the model "shared", or use local=SGD(...)'
        )


def _check_parts(run: Run) -> None:
    name = type(run.algorithm).__name__
    if run.parts.has("mean") and run.algorithm.reduce == "all":
        raise Misfit(
            f'`parts` give the role "mean", but {name} holds the models of all workers and '
            'takes no mean; use "shared", which it merges in its own way'
        )
    if run.algorithm.personal and run.has_local_parts:
        raise Misfit(
            f"{name} keeps a whole model at each worker, which has no local parts; remove what "
            'is "local" from `parts`, or use another algorithm'
        )
