"""What a kind stands for: a short name of ours, or ``module:Class``, or ``file.py:Class``.

Classes are imported when they are asked for, so that the command line answers at once and an
aggregator never loads torch.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import importlib
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actorfl.errors import (
    CodeImportError,
    ConfigError,
    MissingExtra,
    TaskImportError,
    UnknownKey,
    WrongType,
)
from actors import code
from actors.errors import ActorError


@dataclass(frozen=True)
class Slot:
    """A part of a run that can be replaced.

    Attributes:
        name: its key in a configuration.
        base: what its classes derive from, or the protocol that they follow, as ``module:Class``.
        kinds: short names and the classes that they stand for, as ``module:Class``.
        listed: the class that a list of values stands for, whose one field holds them as a tuple;
            "": a list is refused.
        filed: the kind that a TOML file of its own describes, by its fields alone; "": no file is
            read.
        read: endings of other files that describe one, and the function, as ``module:function``,
            that returns the table.
    """

    name: str
    base: str
    kinds: Mapping[str, str]
    listed: str = ""
    filed: str = ""
    read: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def a(self) -> str:
        """The article before its name."""
        return "an" if self.word[0] in "aeiou" else "a"

    @property
    def word(self) -> str:
        """What fills it is called so in a sentence; most are called as their key."""
        return _WORDS.get(self.name, self.name)


# Keys that are no nouns.
_WORDS = {
    "until": "end", "sync": "policy", "select": "selection", "compress": "compression",
    "local": "local loop",
}  # fmt: skip

SLOTS: Mapping[str, Slot] = {
    slot.name: slot
    for slot in (
        Slot(
            "task",
            "actorfl.task:Task",
            {
                "digits": "actorfl.data.digits:Digits",
                "fashion": "actorfl.data.fashion:FashionMNIST",
                "spambase": "actorfl.data.spambase:Spambase",
                "mackey-glass": "actorfl.data.mackeyglass:MackeyGlass",
                "ecg": "actorfl.data.ecg:ECG",
            },
        ),
        Slot(
            "topology",
            "actorfl.topology:Topology",
            {
                "star": "actorfl.topology:Star",
                "tree": "actorfl.tree:Tree",
                "nested": "actorfl.nested:Nested",
                "ring": "actorfl.graphs.ring:RingGraph",
                "path": "actorfl.graphs.ring:PathGraph",
                "grid": "actorfl.graphs.lattice:GridGraph",
                "torus": "actorfl.graphs.lattice:TorusGraph",
                "complete": "actorfl.graphs.complete:CompleteGraph",
                "star-graph": "actorfl.graphs.complete:StarGraph",
                "hypercube": "actorfl.graphs.exponential:HypercubeGraph",
                "regular": "actorfl.graphs.regular:RegularGraph",
                "erdos-renyi": "actorfl.graphs.chance:ErdosRenyiGraph",
                "small-world": "actorfl.graphs.chance:SmallWorld",
                "scale-free": "actorfl.graphs.chance:ScaleFreeGraph",
                "block-model": "actorfl.graphs.chance:BlockModelGraph",
                "edges": "actorfl.graphs.edges:EdgeListGraph",
                "exponential": "actorfl.graphs.exponential:ExponentialGraph",
                "one-peer-exponential": "actorfl.graphs.exponential:OnePeerExponentialGraph",
                "fresh-regular": "actorfl.graphs.regular:FreshRegularGraph",
                "schedule": "actorfl.graphs.schedule:ScheduleGraph",
                "vehicles": "actorfl.graphs.vehicles:Vehicles",
                "newscast": "actorfl.peersampling.topologies:Newscast",
                "cyclon": "actorfl.peersampling.topologies:Cyclon",
                "uniform-peers": "actorfl.peersampling.topologies:UniformPeers",
            },
            filed="nested",
            read=dict.fromkeys((".graphml", ".edges", ".edgelist"), "actorfl.graphs.files:table"),
        ),
        Slot(
            "algorithm",
            "actorfl.algorithm:Algorithm",
            {
                "fedsgd": "actorfl.algorithms.fedsgd:FedSGD",
                "fedavg": "actorfl.algorithms.fedavg:FedAvg",
                "fedavgm": "actorfl.algorithms.fedavgm:FedAvgM",
                "hierfavg": "actorfl.algorithms.hierfavg:HierFAVG",
                "fedprox": "actorfl.algorithms.fedprox:FedProx",
                "fedadagrad": "actorfl.algorithms.fedadagrad:FedAdagrad",
                "fedadam": "actorfl.algorithms.fedadam:FedAdam",
                "fedyogi": "actorfl.algorithms.fedyogi:FedYogi",
                "fednova": "actorfl.algorithms.fednova:FedNova",
                "scaffold": "actorfl.algorithms.scaffold:Scaffold",
                "fedbn": "actorfl.algorithms.fedbn:FedBN",
                "fedrep": "actorfl.algorithms.fedrep:FedRep",
                "ditto": "actorfl.algorithms.ditto:Ditto",
                "fedasync": "actorfl.algorithms.fedasync:FedAsync",
                "fedbuff": "actorfl.algorithms.fedbuff:FedBuff",
                "parameter-server": "actorfl.algorithms.parameterserver:ParameterServer",
                "median": "actorfl.algorithms.median:Median",
                "trimmed-mean": "actorfl.algorithms.trimmedmean:TrimmedMean",
                "norm-clipping": "actorfl.algorithms.normclipping:NormClipping",
                "krum": "actorfl.algorithms.krum:Krum",
                "multi-krum": "actorfl.algorithms.multikrum:MultiKrum",
                "gossip": "actorfl.algorithms.gossip:Gossip",
                "consensus": "actorfl.algorithms.consensus:AverageConsensus",
                "dpsgd": "actorfl.algorithms.dpsgd:DPSGD",
                "ad-psgd": "actorfl.algorithms.adpsgd:ADPSGD",
                "choco-sgd": "actorfl.algorithms.chocosgd:ChocoSGD",
                "dfedavg": "actorfl.algorithms.dfedavg:DFedAvg",
                "push-sum": "actorfl.algorithms.pushsum:PushSum",
                "sgp": "actorfl.algorithms.sgp:StochasticGradientPush",
                "epidemic": "actorfl.algorithms.epidemic:EpidemicLearning",
                "consensus-admm": "actorfl.algorithms.admm:ConsensusADMM",
                "geometric-median": "actorfl.algorithms.geometricmedian:GeometricMedian",
                "ridge-readout": "actorfl.algorithms.ridgereadout:RidgeReadout",
                "averaged-readout": "actorfl.algorithms.averagedreadout:AveragedReadout",
                "readout-consensus": "actorfl.algorithms.readoutconsensus:ReadoutConsensus",
                "readout-admm": "actorfl.algorithms.readoutadmm:ReadoutADMM",
            },
        ),
        Slot(
            "local",
            "actorfl.local:Local",
            {"sgd": "actorfl.local:SGD", "gradients": "actorfl.local:Gradients"},
        ),
        Slot(
            "sync",
            "actorfl.sync:Sync",
            {
                "bsp": "actorfl.sync:BSP",
                "ssp": "actorfl.sync:SSP",
                "asp": "actorfl.sync:ASP",
                "quorum": "actorfl.sync:Quorum",
                "buffered": "actorfl.sync:Buffered",
                "period": "actorfl.sync:Period",
            },
        ),
        Slot(
            "select",
            "actorfl.sampling:Selection",
            {
                "sample": "actorfl.sampling:Sample",
                "available": "actorfl.availability:Available",
            },
        ),
        Slot(
            "compress",
            "actorfl.compression:Compression",
            {
                "top-k": "actorfl.compressions.topk:TopK",
                "random-k": "actorfl.compressions.randomk:RandomK",
                "8-bit": "actorfl.compressions.eightbit:EightBit",
                "1-bit": "actorfl.compressions.onebit:OneBit",
            },
        ),
        Slot("node", "actorfl.nodes:NodeLoop", {}),
        Slot(
            "until",
            "actorfl.until:Until",
            {
                "rounds": "actorfl.until:Rounds",
                "clocks": "actorfl.until:Clocks",
                "versions": "actorfl.until:Versions",
                "updates": "actorfl.until:Updates",
                "seconds": "actorfl.until:Seconds",
                "minutes": "actorfl.until:Minutes",
                "hours": "actorfl.until:Hours",
                "target": "actorfl.target:Target",
            },
            listed="actorfl.until:AnyOf",
        ),
        Slot(
            "partition",
            "actorfl.partition:Partitioner",
            {
                "iid": "actorfl.partition:Iid",
                "sampled": "actorfl.partition:Sampled",
                "contiguous": "actorfl.partitions.contiguous:Contiguous",
                "shards": "actorfl.partitions.labels:Shards",
                "label": "actorfl.partitions.labels:ByLabel",
                "group": "actorfl.partitions.groups:ByGroup",
                "dirichlet": "actorfl.partitions.skew:Dirichlet",
                "quantity": "actorfl.partitions.skew:Quantity",
                "single-class": "actorfl.partitions.singleclass:SingleClass",
            },
        ),
    )
}

# A file whose classes are looked for is read this far: code that people write is shorter.
_SOURCE_READ_MAX = 2**20
# A sentence that names more classes than this is no longer read.
_MOST_NAMED = 5
_INSTEAD = {
    list: "tuple[..., ...]",
    set: "tuple[..., ...]",
    dict: "Mapping[str, ...] of collections.abc",
}
_JOINED = "Rounds(20) | Minutes(5)"
# Optional dependencies and the extra that brings them.
_EXTRAS = {"torch": "torch", "safetensors": "torch", "sklearn": "torch", "matplotlib": "plot"}


def resolve(slot: Slot, kind: str, place: str, base: Path) -> type[Any]:
    """Return the class that a kind stands for.

    Args:
        slot: the slot that it is to fill.
        kind: a short name, ``module:Class`` or ``file.py:Class``.
        place: where it was written, for people.
        base: the directory that a relative file name starts from.

    Raises:
        UnknownKey: no such short name.
        CodeImportError: the class cannot be imported; `TaskImportError` for a task.
        MissingExtra: one of ours needs a dependency that is not installed.
        WrongType: it is no class for this slot.
    """
    if kind in slot.kinds:
        return _ours(slot.kinds[kind], f"{slot.name} `{kind}`")
    if ":" not in kind:
        if kind.endswith(".py"):
            where = f"kind of {slot.name} `{kind}` in {place}"
            raise UnknownKey.saying(f"unknown {where}; {_add_the_class(slot, kind, base)}", kind)
        if slot.read and (base / kind).is_file():
            endings = ", ".join(sorted((".toml", *slot.read)))
            raise UnknownKey.saying(
                f"{place}: the name of the file {kind} does not say what is in it; a {slot.name} "
                f"is read from files that end with one of {endings}",
                kind,
            )
        choices = [*slot.kinds, "module:Class", "file.py:Class"]
        raise UnknownKey(f"kind of {slot.name}", kind, f"in {place}", choices)
    failure = TaskImportError if slot.name == "task" else CodeImportError
    try:
        found = code.load(code.parse(kind, base))
    except ActorError as error:
        raise failure(f"{place}: {error}") from error
    if not (isinstance(found, type) and _fits(slot, found)):
        raise WrongType(f"{place}: {kind}", f"a class that is a {slot.base}", found)
    check_class(found)
    return found


def join(slot: Slot, values: Sequence[object]) -> Any:
    """Return the value that a list of values of a slot stands for.

    Raises:
        ConfigError: there are too few or too many of them.
    """
    return _ours(slot.listed, slot.name)(tuple(values))


def table_of(slot: Slot, file: Path) -> dict[str, Any] | None:
    """Return the table that a file of another kind than TOML describes; None where it is no such.

    Raises:
        ConfigError: it cannot be read, or describes what is refused.
    """
    if file.suffix not in slot.read:
        return None
    module, _, name = slot.read[file.suffix].partition(":")
    found: dict[str, Any] = getattr(importlib.import_module(module), name)(file)
    return found


def parts_of(slot: Slot, value: object) -> tuple[object, ...] | None:
    """Return what `join` was given; None where the value is a single one."""
    if not slot.listed or slot.listed != f"{type(value).__module__}:{type(value).__qualname__}":
        return None
    (field,) = dataclasses.fields(value)  # type: ignore[arg-type]  # a class of ours
    held: tuple[object, ...] = getattr(value, field.name)
    return held


def check_instance(slot: Slot, value: object) -> None:
    """Refuse a value that cannot fill a slot.

    Raises:
        WrongType: it is not an instance of a frozen dataclass derived from the slot's base.
    """
    if slot.listed and isinstance(value, list | tuple):
        many = f"an instance of {slot.base}, or several joined by `|`, as {_JOINED}"
        raise WrongType(f"`{slot.name}` of Run", many, value)
    if isinstance(value, type) or not _fits(slot, type(value)):
        need = f"an instance of {slot.base}, or the name of one"
        raise WrongType(f"`{slot.name}` of Run", need, value)
    for one in parts_of(slot, value) or (value,):
        check_class(type(one))


def check_class(cls: type[Any]) -> None:
    """Refuse a class whose instances cannot be a part of a run.

    Raises:
        ConfigError: it is no frozen dataclass itself (its fields would be those of its base), a
            field is annotated with what can change while the run goes on, or one is called
            ``kind``, in it or in a dataclass that it is annotated with.
    """
    parameters = vars(cls).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        what = "a dataclass" if parameters is None else "a frozen dataclass"
        raise ConfigError(
            f"{cls.__qualname__} must be {what}: put @dataclass(frozen=True) above it"
        )
    hints = _hints(cls)  # type: ignore[arg-type]  # every class is hashable
    check_keys(cls)
    for field in dataclasses.fields(cls):
        hint = hints.get(field.name)
        for one in (hint, *typing.get_args(hint)):
            kind = typing.get_origin(one) or one
            if field.init and isinstance(kind, type) and kind in _INSTEAD:
                sentence = f"`{field.name}` of {cls.__qualname__} is annotated {kind.__name__}"
                raise ConfigError(
                    f"{sentence}, which can change while the run goes on; use {_INSTEAD[kind]}"
                )


def check_keys(cls: type[Any]) -> None:
    """Refuse a dataclass whose table would say another class than it is of.

    Raises:
        ConfigError: it, or a dataclass that one of its fields is annotated with, has a field that
            is called ``kind``.
    """
    waiting, seen = [cls], {cls}
    while waiting:
        one = waiting.pop()
        fields = [field.name for field in dataclasses.fields(one) if field.init]
        if "kind" in fields:
            raise ConfigError(
                f"{one.__qualname__} has a field `kind`, the word by which a configuration says of "
                "which class a value is; rename the field"
            )
        hints = _hints(one)  # type: ignore[arg-type]  # as above
        for inner in [each for name in fields for each in _within(hints.get(name))]:
            if dataclasses.is_dataclass(inner) and inner not in seen:
                seen.add(inner)
                waiting.append(inner)


@functools.cache  # each worker reads the run, and there are as many classes as in the program
def _hints(cls: type[Any]) -> dict[str, Any]:
    """The annotations of a class; nothing where they cannot be read.

    Then it is refused where a value is to be read by them.
    """
    with contextlib.suppress(NameError, TypeError):
        return typing.get_type_hints(cls)
    return {}


def _within(hint: Any) -> list[type[Any]]:
    """The classes in an annotation, however deep."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return [hint]
    return [found for one in typing.get_args(hint) for found in _within(one)]


def kind_of(slot: Slot, cls: type[Any], base: Path) -> str:
    """Return the kind that `resolve` turns into `cls`; a file below `base` is named from there.

    Raises:
        ConfigError: the class has no name that another process could import it by.
    """
    short = _short_name(slot, cls)
    if short is not None:
        return short
    text = _reference(cls).text
    file, _, name = text.rpartition(":")
    if file.endswith(".py") and Path(file).is_relative_to(base):
        return f"{Path(file).relative_to(base).as_posix()}:{name}"
    return text


def identity_of(slot: Slot, cls: type[Any]) -> dict[str, str]:
    """Return what makes a class the same class wherever its file lies: its name and its source.

    Raises:
        ConfigError: the class has no name that another process could import it by.
    """
    short = _short_name(slot, cls)
    if short is not None:
        return {"kind": short}
    return {"kind": cls.__qualname__, "source": _reference(cls).sha256 or ""}


def identities(slot: Slot, value: object, name: str) -> dict[str, dict[str, str]]:
    """Return `identity_of` the class of a value by a name; of each in a list by ``name.0``, ..."""
    parts = parts_of(slot, value)
    if parts is None:
        return {name: identity_of(slot, type(value))}
    return {f"{name}.{n}": identity_of(slot, type(one)) for n, one in enumerate(parts)}


def check_value(
    slot: Slot, value: object, known: Mapping[str, Mapping[str, str]], name: str
) -> None:
    """Refuse a value of classes that are others here than where the run was started.

    Args:
        slot: the slot that it fills.
        value: of the classes here.
        known: what `identities` returned where the run was started, maybe with those of others.
        name: that they were given there.

    Raises:
        CodeImportError: name or source differ; `TaskImportError` for a task.
    """
    for n, one in enumerate(parts_of(slot, value) or (value,)):
        here = name if one is value else f"{name}.{n}"
        check_same(slot, type(one), known[here])


def check_same(slot: Slot, cls: type[Any], known: Mapping[str, str]) -> None:
    """Refuse a class that is another one here than where the run was started.

    Args:
        slot: the slot that it fills.
        cls: the class here.
        known: what `identity_of` returned where the run was started.

    Raises:
        CodeImportError: name or source differ; `TaskImportError` for a task.
    """
    if identity_of(slot, cls) == dict(known):
        return
    failure = TaskImportError if slot.name == "task" else CodeImportError
    file = _reference(cls).text.rpartition(":")[0]
    msg = (
        f"{slot.name} {cls.__qualname__}: {file} is not what the run was started with; put back "
        "what stood there, or start a new run"
    )
    raise failure(msg)


def _add_the_class(slot: Slot, file: str, base: Path) -> str:
    """Say how a class of a file is named; the file is read, not run."""
    try:
        with (base / Path(file).expanduser()).open("rb") as opened:
            tree = ast.parse(opened.read(_SOURCE_READ_MAX))
    except OSError as error:
        return f"cannot read it: {(error.strerror or str(error)).lower()}"
    except (SyntaxError, ValueError, RecursionError, MemoryError, RuntimeError):
        return f"add the class: `{file}:Class`"  # what is wrong with it shows once it is loaded
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    fitting = {slot.base.rpartition(":")[2]}
    for _ in bases:  # a class may derive from one that derives from the base
        fitting |= {name for name, above in bases.items() if above & fitting}
    named = [f"`{file}:{name}`" for name in bases if name in fitting]
    return f"add the class: {' or '.join(named[:_MOST_NAMED]) or f'`{file}:Class`'}"


def _fits(slot: Slot, cls: type[Any]) -> bool:
    base = _ours(slot.base, slot.name)
    if getattr(base, "_is_protocol", False):
        members = [name for name in vars(base) if not name.startswith("_")]
        return all(callable(getattr(cls, name, None)) for name in members)
    return issubclass(cls, base)


def _short_name(slot: Slot, cls: type[Any]) -> str | None:
    home = f"{cls.__module__}:{cls.__qualname__}"
    return next((name for name, target in slot.kinds.items() if target == home), None)


def _reference(cls: type[Any]) -> code.CodeRef:
    try:
        return code.reference(cls)
    except ActorError as error:
        raise ConfigError(str(error)) from error


def _ours(target: str, wanted_by: str) -> type[Any]:
    module, _, name = target.partition(":")
    try:
        found = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        if top in _EXTRAS:
            raise MissingExtra(top, _EXTRAS[top], wanted_by) from error
        raise
    assert isinstance(found, type)
    return found
