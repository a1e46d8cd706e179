"""A run: everything that decides what is learned, as one value."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from actorfl import config, registry
from actorfl.algorithm import Algorithm
from actorfl.chaos.settings import Chaos
from actorfl.compression import Compression
from actorfl.config import Place, Table
from actorfl.errors import ConfigError, Misfit, MissingKey, UnknownKey, WrongType
from actorfl.every import Every
from actorfl.fitting import check, check_types
from actorfl.levels import are_levels, levels_of
from actorfl.local import SGD, Gradients
from actorfl.nodes import NodeLoop
from actorfl.partition import Iid, Partitioner
from actorfl.parts import ALL_SHARED, Parts, Role
from actorfl.registry import SLOTS
from actorfl.rundir import checked_name
from actorfl.sampling import Selection
from actorfl.simulate.settings import Simulate
from actorfl.stay import Stay
from actorfl.supervision import Supervision
from actorfl.sync import BSP, Sync
from actorfl.task import Task
from actorfl.topology import Topology
from actorfl.tree import Levelled
from actorfl.until import OwnEnd, Until, ends_no_earlier
from actors import UsageError, code, tomlwriter
from actors.quantities import is_finite

if TYPE_CHECKING:
    from actorfl.execute import Result
    from actors.deploy import Deployment

# The partition of whoever names none, which `dataclasses.replace` hands on: an equal one that was
# asked for is refused where nothing is dealt out.
_UNASKED = Iid()
# What a run has whose nodes have programs of their own: these decide what others have in the slots.
_OWN_ALGORITHM = Algorithm()
_OWN_END = OwnEnd()
# Slots that only a run without such programs has.
_WITHOUT_NODE = frozenset({"algorithm", "until", "sync", "select"})
# Slots of which each level of aggregators may have its own.
_LEVELLED = ("sync", "algorithm")
# What says where and how a run is carried out, not what it computes: no part of its hash, and free
# to differ when it is resumed.
_CARRIED_OUT = frozenset({
    "name", "base", "durability", "supervision", "landing", "strict", "record", "baselines",
    "combine",
})  # fmt: skip


@dataclass(frozen=True, init=False)
class Run:
    """What to learn, who computes it, when and until when.

    A slot takes a value or the name of a kind: a short name, ``module:Class``, ``file.py:Class``.

    Args:
        task: model, loss and data.
        topology: who talks to whom.
        algorithm: what is computed and merged; with a tree also one for each level of aggregators,
            by name. This attribute is that of the innermost level, which the workers compute.
        local: what a worker does in a clock: steps, ``SGD``, or one gradient, ``Gradients``. Where
            it is left out, what the task says, ``Task.default_local``; ``Gradients`` with its batch
            where the algorithm takes gradients.
        until: when the run is over.
        node: the program of each node, in a topology without a centre, such as ``RingGraph``; it
            takes the place of `algorithm`, `until`, `sync` and `select`, which are left out.
        sync: when a worker may go on; with a tree also one for each level of aggregators, by name.
            This attribute is that of the root.
        select: which workers compute a round, drawn from the roster by clock; without it all do.
            Needs a policy with rounds, and no aggregators between the root and the workers.
        compress: how workers compress what they send up; without it they do not. What is sent of
            an update is then less than all of it.
        stays: who joins the run late or leaves it before its end; the first that fits a worker
            decides, and whoever fits none is of all of it. With a centre, or by the clock
            (``Period``) where an algorithm ``outlives`` its nodes.
        partition: how the pool of a task that has one is dealt out; refused for other tasks.
        parts: which tensors of the model are shared, and which stay at their worker, as ``Parts``
            or as roles by pattern; without it all are shared.
        validate: fraction of each worker's data held back for evaluation, 0 <= validate < 1; which
            examples depends on the seed and the worker's name alone, and one at least is left to
            train on.
        evaluate: how often, and where.
        seed: from which all randomness of the learning is derived, 0 to 2^63 - 1.
        name: of the run directory; without it the task's class name in lower case.
        durability: "process" survives the death of processes, "machine" also that of the machine
            (it waits for the disk).
        supervision: how often what fails is restarted.
        landing: buffers in which an aggregator receives updates, 1 to 64; each is one model large.
        strict: end the run where workers would not compute the same bits (another build of torch,
            CPU, number of threads); else the result says that they are not promised.
        record: keep what each worker computes each clock from, and the SHA-256 of what it gave, so
            that ``actorfl replay`` can compute any of them again. Takes one model, and one state of
            each worker that keeps one, of disk a round.
        baselines: also compute, when the run is over and in the process that started it, what the
            same budget reaches without federation: with all data in one place, and with each worker
            by itself. Takes about twice the training of the run, without its parallelism.
        combine: whether the workers of one process are added up there, so that one sum leaves it
            instead of the update of each: True where at least two live together, "auto" where that
            saves bytes, from three on, and the run lets them. The model has the same bits.
        base: directory that relative paths start from; without it that of the running script, or
            the current one where there is no script.
        sync_of, algorithm_of: the levels of an equal run, as ``dataclasses.replace`` hands them on;
            to be left out, as they are of a run with one value for all levels.

    Raises:
        ConfigError: a value is refused, or two do not fit together; nothing was started.
    """

    task: Task
    topology: Topology
    algorithm: Algorithm
    local: SGD | Gradients
    until: Until
    sync: Sync
    select: Selection | None
    compress: Compression | None
    node: NodeLoop | None
    stays: tuple[Stay, ...]
    partition: Partitioner
    parts: Parts
    validate: float
    evaluate: Every
    seed: int
    name: str
    durability: Literal["process", "machine"]
    supervision: Supervision
    landing: int
    strict: bool
    record: bool
    baselines: bool
    combine: bool | Literal["auto"]
    sync_of: tuple[tuple[str, Sync], ...]
    algorithm_of: tuple[tuple[str, Algorithm], ...]
    base: Path = field(compare=False)

    def __init__(
        self,
        task: Task | str,
        topology: Topology | str,
        algorithm: Algorithm | str | Mapping[str, Algorithm | str] | None = None,
        *,
        local: SGD | Gradients | str | None = None,
        until: Until | str | None = None,
        sync: Sync | str | Mapping[str, Sync | str] | None = None,
        select: Selection | str | None = None,
        compress: Compression | str | None = None,
        node: NodeLoop | str | None = None,
        stays: Sequence[Stay] = (),
        partition: Partitioner | str | None = None,
        parts: Parts | Mapping[str, Role] | None = None,
        validate: float = 0.0,
        evaluate: Every | None = None,
        seed: int = 0,
        name: str | None = None,
        durability: Literal["process", "machine"] = "process",
        supervision: Supervision | None = None,
        landing: int = 2,
        strict: bool = False,
        record: bool = False,
        baselines: bool = False,
        combine: bool | Literal["auto"] = False,
        base: str | os.PathLike[str] | None = None,
        sync_of: tuple[tuple[str, Sync], ...] = (),
        algorithm_of: tuple[tuple[str, Algorithm], ...] = (),
    ) -> None:
        check_types(
            base=base, name=name, validate=validate, evaluate=evaluate, supervision=supervision,
            durability=durability, landing=landing,
        )  # fmt: skip
        where = (_script_directory() if base is None else Path(base)).resolve()
        if node is not None:
            algorithm, until = _own(algorithm, "algorithm"), _own(until, "until")
        for key, needed in (("algorithm", algorithm), ("until", until)):
            if needed is None:
                raise MissingKey(key, "a run", "of Run(...); or give the nodes a program, `node`")
        given: dict[str, object] = {
            "task": task,
            "topology": topology,
            "algorithm": algorithm,
            "local": local,
            "until": until,
            "sync": BSP() if sync is None else sync,
            "partition": _UNASKED if partition is None else partition,
        }
        for key, optional in (("select", select), ("compress", compress), ("node", node)):
            object.__setattr__(self, key, None)
            if optional is not None:
                given[key] = optional
        for key, value in given.items():
            slot = SLOTS[key]
            if key in _LEVELLED:
                known = sync_of if key == "sync" else algorithm_of
                if known and value is known[0 if key == "sync" else -1][1]:
                    value = dict(known)  # noqa: PLW2901
                levels = levels_of(slot, value, self.topology, where)
                object.__setattr__(self, f"{key}_of", levels)
                if levels:  # the innermost algorithm is what workers compute
                    value = levels[0 if key == "sync" else -1][1]  # noqa: PLW2901
            if key == "local" and value is None:  # task and algorithm are there
                value = self._default_local()  # noqa: PLW2901
            if isinstance(value, str):
                value = config.build(slot, value, Place("Run", (key,)), where)  # noqa: PLW2901  (the name gives way to what it names)
            registry.check_instance(slot, value)
            object.__setattr__(self, key, value)
        if parts is None:
            parts = ALL_SHARED
        listed: object = stays
        if isinstance(listed, str) or not isinstance(listed, Iterable):
            raise WrongType("`stays` of Run", "a list of Stay", listed)
        plain: dict[str, object] = {
            "stays": tuple(stays),
            "parts": parts if isinstance(parts, Parts) else Parts(parts),
            "validate": float(validate) if is_finite(validate) else validate,
            "evaluate": Every() if evaluate is None else evaluate,
            "seed": seed,
            "name": checked_name(type(self.task).__name__.lower() if name is None else name),
            "durability": durability,
            "supervision": Supervision() if supervision is None else supervision,
            "landing": landing,
            "strict": strict,
            "record": record,
            "baselines": baselines,
            "combine": combine,
            "base": where,
        }
        for key, value in plain.items():
            object.__setattr__(self, key, value)
        check(self, partitioned=self.partition is not _UNASKED)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Run:
        """Read a configuration.

        Args:
            path: a TOML file; relative paths in it start from its directory.
            overrides: settings such as ``until.rounds=5``, applied in order.

        Raises:
            ConfigError: the file or a value is refused, with the key and where it stands.
        """
        file = Path(path)
        table, settings = config.override(config.read(file), overrides)
        return cls.from_table(table, file.absolute().parent, source=str(file), settings=settings)

    @classmethod
    def from_table(
        cls,
        table: Mapping[str, object],
        base: Path,
        *,
        source: str = "the configuration",
        settings: frozenset[tuple[str, ...]] = frozenset(),
    ) -> Run:
        """Make a run of what `table` returns, or of what a TOML file holds.

        Args:
            table: keys and values.
            base: directory that the key ``base``, if it is relative or absent, starts from.
            source: where the table comes from, for people.
            settings: paths that were set on the command line.

        Raises:
            ConfigError: a value is refused, with the key and where it stands.
        """
        top = Place(source, settings=settings)
        for key in table:
            if key not in _KEYS and key not in _BESIDE:
                raise UnknownKey("key", key, top.inside(key), _meant(key, table, base))
        owned = {"algorithm", "until"} if "node" in table else frozenset()
        for key in ("task", "topology", "algorithm", "until"):
            if key not in table and key not in owned:
                raise MissingKey(key, "a run", f"in {source}")
        values: dict[str, Any] = {}
        where = base / config.convert(table.get("base", "."), str, top.of("base"))
        for key, value in table.items():
            place = top.of(key)
            if key in _LEVELLED and isinstance(value, Mapping) and are_levels(SLOTS[key], value):
                values[key] = {
                    level: config.build(SLOTS[key], each, place.of(level), where)
                    for level, each in value.items()
                }
            elif key in SLOTS:
                values[key] = config.build(SLOTS[key], value, place, where)
            elif key in _BESIDE:
                config.convert(value, _BESIDE[key], place)  # refused here if it cannot be
            elif key != "base":
                values[key] = config.convert(value, _PLAIN[key], place)
        return cls(**values, base=where)

    def table(self) -> Table:
        """Return the resolved configuration as TOML could hold it: every default written out.

        Raises:
            ConfigError: a value or class that has no form outside this process.
        """
        table: Table = {}
        for key in _KEYS:
            value = getattr(self, key)
            if key == "partition" and not self.task.pooled:
                continue  # nothing is dealt out, and whoever says so is refused
            if value is None or not self.has(key):
                continue  # TOML has no word for nothing
            if key == "combine" and value is False:
                continue  # a run without it is written as it always was
            if levels := getattr(self, f"{key}_of", ()):
                table[key] = {
                    level: config.describe_slot(SLOTS[key], each, self.base)
                    for level, each in levels
                }
            elif key in SLOTS:
                table[key] = config.describe_slot(SLOTS[key], value, self.base)
            elif isinstance(value, Parts):
                table[key] = value.table
            elif key == "stays":
                if value:
                    table[key] = [_without_nothing(config.describe(each)) for each in value]
            elif dataclasses.is_dataclass(value):
                items = config.describe(value).items()
                table[key] = {name: item for name, item in items if item is not None}
            else:
                table[key] = str(value) if isinstance(value, Path) else value
        return table

    def to_toml(self) -> str:
        """Return the resolved configuration as TOML; `from_toml` makes an equal run of it.

        Raises:
            ConfigError: a value or class that has no form outside this process.
        """
        try:
            return tomlwriter.dumps(self.table())
        except UsageError as error:
            raise ConfigError(str(error)) from None

    def canonical(self) -> Table:
        """Return what decides the result: no name and no place, a class by its name and source.

        Raises:
            ConfigError: a value or class that has no form outside this process.
        """
        table: Table = {}
        for key in _KEYS:
            value = getattr(self, key)
            if not self.has(key):
                continue
            if levels := getattr(self, f"{key}_of", ()):
                table[key] = {level: _canonical(key, each) for level, each in levels}
            elif key in SLOTS:
                if value is not None:  # a run without `select` or `node` has the hash it always had
                    table[key] = _canonical(key, value)
            elif key == "stays":
                if value:  # a run in which all stay has the hash that it always had
                    table[key] = [config.describe(each) for each in value]
            elif isinstance(value, Parts):
                if value != ALL_SHARED:  # a run without parts has the hash that it always had
                    table[key] = [list(rule) for rule in value.rules]  # their order counts
            elif key not in _CARRIED_OUT:
                table[key] = config.describe(value) if dataclasses.is_dataclass(value) else value
        return table

    def canonical_json(self) -> bytes:
        """Return `canonical` as the bytes that are hashed: sorted keys, no spaces, ASCII."""
        return json.dumps(self.canonical(), sort_keys=True, separators=(",", ":")).encode("ascii")

    def part(self, slot: str, level: str = "") -> Any:
        """What fills a slot; of a level, where there is one for each."""
        if not level:
            return getattr(self, slot)
        return dict(getattr(self, f"{slot}_of"))[level]

    def has(self, slot: str) -> bool:
        """Whether a slot decides anything: of a run with programs of its nodes some do not."""
        return self.node is None or slot not in _WITHOUT_NODE

    @property
    def levelled(self) -> tuple[tuple[str, str], ...]:
        """The slots that have a value for each level, with these levels."""
        return tuple(
            (slot, level) for slot in _LEVELLED for level, _ in getattr(self, f"{slot}_of")
        )

    def sync_at(self, level: str) -> Sync:
        """The policy of a level of aggregators."""
        rounds = self.algorithm.edge_rounds
        if rounds is not None and isinstance(self.topology, Levelled):
            return self.sync if level == self.topology.root.level else BSP(rounds)
        return dict(self.sync_of).get(level, self.sync)

    def algorithm_at(self, level: str) -> Algorithm:
        """The algorithm of a level of aggregators."""
        return dict(self.algorithm_of).get(level, self.algorithm)

    def sends_updates(self, level: str, above: str) -> bool:
        """Whether the aggregators of a level send updates of their own to the level above.

        Else they send the sums of their workers' parts, and the model has the bits of a star.
        """
        return (
            not self.sync_at(above).barrier
            or self.sync_at(level).inner > 1
            or self.algorithm_at(level) != self.algorithm_at(above)
        )

    @property
    def hash(self) -> str:
        """SHA-256 of `canonical_json`, in hexadecimal: the same configuration has one hash."""
        return hashlib.sha256(self.canonical_json()).hexdigest()

    @property
    def resolved_task(self) -> Task:
        """The task with its relative paths made absolute, as every process is to use it."""
        return self.task.resolved(self.base)

    def extends(self, earlier: object) -> bool:
        """Say whether this run ends no earlier than one with this canonical `until`."""
        slot = SLOTS["until"]
        until = config.build(
            slot, _without_nothing(earlier), Place("the run to resume", ("until",)), self.base
        )
        return ends_no_earlier(self.until, until)

    def start(
        self,
        on: Deployment | None = None,
        *,
        resume: str | os.PathLike[str] | None = None,
        out: str | os.PathLike[str] = "runs",
        on_row: Callable[[Mapping[str, Any]], None] | None = None,
        debug: bool = False,
    ) -> Result:
        """Carry the run out, from a script.

        Args:
            on: where; without it in this process.
            resume: directory of an earlier start to continue; without it a new one is made.
            out: where a new directory is made.
            on_row: called with each row that this start adds to the metrics as it comes, once and
                in order, and with ``{"event": sentence}`` for each failure and restart.
            debug: have the processes log at debug level.

        Returns:
            How it ended, and where it left its files.

        Raises:
            ConfigError: it was refused before anything started.
            RunDirectoryError: its directory cannot be used.
            RunFailed: it gave up.
        """
        from actorfl import execute

        code.refuse_if_loading("a run")
        where = None if resume is None else Path(resume)
        return execute.start(self, on=on, resume=where, out=Path(out), on_row=on_row, debug=debug)

    async def on(
        self,
        deployment: Deployment | None = None,
        *,
        resume: str | os.PathLike[str] | None = None,
        out: str | os.PathLike[str] = "runs",
        on_row: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Result:
        """Carry the run out, from a running event loop; like `start` otherwise."""
        from actorfl import execute

        code.refuse_if_loading("a run")
        where = None if resume is None else Path(resume)
        return await execute.on(self, deployment, resume=where, out=Path(out), on_row=on_row)

    def _default_local(self) -> object:
        """What a worker does in a clock where nobody says it."""
        local: object = self.task.default_local
        if not isinstance(local, SGD):
            raise WrongType(f"`default_local` of {type(self.task).__name__}", "an SGD", local)
        return Gradients(batch=local.batch) if self.algorithm.gradients else local

    @property
    def has_local_parts(self) -> bool:
        """Whether parts of the model never leave their worker, so that no node has all of it."""
        return self.parts.has("local") or self.algorithm.keeps_tensors


def _own(value: Any, key: str) -> Any:
    """What a run has whose nodes have programs; nothing else may be given.

    Raises:
        Misfit: something was.
    """
    own = _OWN_ALGORITHM if key == "algorithm" else _OWN_END
    if value is not None and value is not own:
        raise Misfit(
            f"the programs of the nodes, `node`, say what is computed and when it ends; remove "
            f"`{key}`"
        )
    return own


def _meant(key: str, table: Mapping[str, object], base: Path) -> Sequence[str]:
    """What an unknown key may have been: one of these, or one that belongs into a table."""
    inside = {
        f"{name}.{one}": one
        for name in (*SLOTS, "evaluate", "supervision")
        for one in _fields_of(name, table.get(name), base)
    }
    exact = [path for path, name in inside.items() if name == key]
    if exact or difflib.get_close_matches(key, _KEYS, n=1):
        return exact or _KEYS
    near = difflib.get_close_matches(key, inside.values(), n=1)
    return [path for path, name in inside.items() if name in near] or _KEYS


def _fields_of(name: str, value: object, base: Path) -> list[str]:
    """The keys that a table of a configuration takes, as far as that can be told."""
    written = list(value) if isinstance(value, Mapping) else []
    cls = _PLAIN.get(name)
    if name in SLOTS:
        kind = value.get("kind") if isinstance(value, Mapping) else value
        kind = kind or next((one for one in written if one in SLOTS[name].kinds), None)
        # A task's file is not loaded for a hint: it may import torch.
        if not isinstance(kind, str) or (name == "task" and kind not in SLOTS[name].kinds):
            return written
        try:
            cls = registry.resolve(SLOTS[name], kind, name, base)
        except ConfigError:
            return written
    return [one.name for one in dataclasses.fields(cls)] if cls else written


def _canonical(key: str, value: Any) -> Any:
    parts = registry.parts_of(SLOTS[key], value)
    if parts is not None:
        return [_canonical(key, part) for part in parts]
    identity = registry.identity_of(SLOTS[key], type(value))
    return {**config.describe(value), **identity}


def _without_nothing(value: object) -> object:
    """A canonical value as TOML, which has no word for nothing, would hold it."""
    if isinstance(value, list):
        return [_without_nothing(one) for one in value]
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


_PLAIN: dict[str, Any] = {
    "stays": tuple[Stay, ...],
    "parts": Mapping[str, Role],
    "seed": int,
    "validate": float,
    "evaluate": Every,
    "name": str,
    "durability": Literal["process", "machine"],
    "supervision": Supervision,
    "landing": int,
    "strict": bool,
    "record": bool,
    "baselines": bool,
    "combine": bool | Literal["auto"],
    "base": str,
}
# Sections that a file may have for other commands; no part of the run.
_BESIDE: dict[str, Any] = {"chaos": Chaos, "simulate": Simulate}
# As people read it: what is learned first, how it is carried out last.
_KEYS = (
    *("name", "seed", "validate"),
    *SLOTS,
    *("stays", "parts", "evaluate", "supervision", "durability", "landing", "strict", "record"),
    *("baselines", "combine", "base"),
)


def _script_directory() -> Path:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).parent if script else Path.cwd()
