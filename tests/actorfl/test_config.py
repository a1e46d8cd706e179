"""A run as TOML: what is read is what was written, and what cannot be meant is refused by name."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl import DPSGD, PairAlgorithm, Peers, RingGraph, registry
from actorfl.algorithm import Algorithm
from actorfl.algorithms.fedavg import FedAvg
from actorfl.algorithms.parameterserver import ParameterServer
from actorfl.config import Place, build_fields, override
from actorfl.errors import (
    CodeImportError,
    ConfigError,
    Misfit,
    MissingFile,
    MissingKey,
    NotToml,
    TaskImportError,
    UnknownKey,
    WrongType,
    WrongValue,
)
from actorfl.every import Every
from actorfl.local import SGD, Gradients
from actorfl.run import Run
from actorfl.supervision import Supervision
from actorfl.topology import Star
from actorfl.until import Rounds
from actors import code
from tests.actorfl.configs import MINIMAL, SPAM, refused, run_of

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "run.toml"


@dataclass(frozen=True)
class Pairs(Algorithm):
    reduce: ClassVar = "pair"


# --- round trip -----------------------------------------------------------------------------------

seconds = st.floats(0.001, 1e6)
rates = st.floats(1e-9, 1e9)
locals_ = st.builds(
    SGD,
    lr=rates,
    batch=st.none() | st.just("all") | st.integers(1, 1000),
    epochs=st.none() | st.integers(1, 100),
    momentum=st.floats(0, 1, exclude_max=True),
    weight_decay=st.floats(0, 1),
    clip=st.none() | rates,
) | st.builds(SGD, lr=rates, steps=st.integers(1, 100))


def evaluated(at: str | None, every: int, validate: float, **given: Any) -> Run:
    """Whoever evaluates at the workers has them hold something back."""
    kept = validate or 0.2 if at == "workers" else validate
    where: Any = at
    return run_of(evaluate=Every(every, where), validate=kept, **given)


runs = st.builds(
    evaluated,
    at=st.sampled_from(["central", "workers", None]),
    every=st.integers(1, 99),
    topology=st.integers(1, 1000).map(Star) | st.just(Star(2, named=("north", "south"))),
    local=locals_,
    until=st.integers(1, 10**9).map(Rounds),
    validate=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**63 - 1),
    # No process of a run is called so, such as p0 or aggregator.
    name=st.none() | st.from_regex(r"[0-9xX][A-Za-z0-9._-]{0,63}", fullmatch=True),
    durability=st.sampled_from(["process", "machine"]),
    landing=st.integers(1, 64),
    record=st.booleans(),
    supervision=st.builds(
        Supervision,
        intensity=st.integers(0, 99),
        per=seconds,
        outside=st.integers(0, 99),
        backoff=seconds,
        backoff_max=seconds,
    ),
)


@given(run=runs)
def test_a_run_survives_being_written_as_toml_and_read(run: Run) -> None:
    read = Run.from_table(tomllib.loads(run.to_toml()), Path("/elsewhere"))
    assert read == run
    assert read.base == run.base
    assert read.hash == run.hash
    assert read.to_toml() == run.to_toml()


@given(one=runs, other=runs)
def test_runs_have_one_hash_exactly_when_they_compute_the_same(one: Run, other: Run) -> None:
    assert (one.hash == other.hash) == (one.canonical() == other.canonical())


def test_the_example_is_the_same_run_in_toml_and_in_python() -> None:
    read = Run.from_toml(DIGITS)
    assert read == run_of()
    assert read.hash == run_of().hash


def test_a_task_of_a_users_file_is_the_same_run_in_toml_and_in_python() -> None:
    folder = DIGITS.parents[1] / "hospital"
    hospital = code.load(code.parse("hospital.py:Hospital", folder))
    written = run_of(task=hospital(), validate=0.2, seed=7, base=folder)
    assert Run.from_toml(folder / "run.toml") == written
    assert Run.from_toml(folder / "run.toml").hash == written.hash
    assert run_of(task=hospital(), validate=0.2, seed=7, base="/elsewhere").hash == written.hash


def test_what_the_file_leaves_out_is_written_out_resolved(folder: Path) -> None:
    resolved = tomllib.loads(Run.from_toml(folder / "run.toml").to_toml())
    assert resolved["name"] == "spam"
    assert resolved["base"] == str(folder)
    assert resolved["task"] == {
        "kind": "spam.py:Spam",
        "path": "data/{name}.csv",
        "cache": "cache",
        "depth": 2,
        "rates": [0.1, 0.2],
    }
    assert resolved["sync"] == {"kind": "bsp", "rounds": 1}
    assert "partition" not in resolved
    assert resolved["until"] == {"rounds": 4}
    assert resolved["supervision"]["intensity"] == 3


def test_a_resolved_configuration_means_the_same_wherever_its_file_lies(folder: Path) -> None:
    run = Run.from_toml(folder / "run.toml")
    moved = folder / "runs" / "spam-1"
    moved.mkdir(parents=True)
    (moved / "run.toml").write_text(run.to_toml())
    again = Run.from_toml(moved / "run.toml")
    assert again == run
    assert again.task.resolved(again.base) == run.task.resolved(folder)


# --- hash -----------------------------------------------------------------------------------------


def test_name_place_and_the_way_it_is_carried_out_do_not_enter_the_hash(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spam.py").write_text(SPAM)
        (tmp_path / name / "run.toml").write_text(MINIMAL)
    here = Run.from_toml(tmp_path / "here" / "run.toml")
    there = Run.from_toml(
        tmp_path / "there" / "run.toml",
        ["name=other", "durability=machine", "supervision.intensity=9", "landing=5", "record=true"],
    )
    assert here.hash == there.hash


@pytest.mark.parametrize(
    "setting",
    [
        *("seed=1", "validate=0.1", "task.depth=3", "topology.workers=4", "local.lr=0.25"),
        *("until.rounds=5", "evaluate.every=2", "task.path=elsewhere"),
    ],
)
def test_whatever_decides_the_result_enters_the_hash(folder: Path, setting: str) -> None:
    file = folder / "run.toml"
    assert Run.from_toml(file, [setting]).hash != Run.from_toml(file).hash


def test_the_source_of_a_task_enters_the_hash(tmp_path: Path) -> None:
    hashes = set()
    for name, source in (("a", SPAM), ("b", SPAM + "\nX = 1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spam.py").write_text(source)
        (tmp_path / name / "run.toml").write_text(MINIMAL)
        hashes.add(Run.from_toml(tmp_path / name / "run.toml").hash)
    assert len(hashes) == 2


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key", "place", "near"),
    [
        ("sede = 1", "sede", "of {file}", "seed"),
        ("[supervision]\nintensty = 1", "intensty", "in `supervision` of {file}", "intensity"),
        ("[evaluate]\neach = 1", "each", "in `evaluate` of {file}", "every"),
    ],
)
def test_an_unknown_key_of_the_file_is_refused_with_its_place_and_the_nearest(
    folder: Path, line: str, key: str, place: str, near: str
) -> None:
    file = folder / "run.toml"
    file.write_text(MINIMAL + line)
    error = refused(folder)
    assert isinstance(error, UnknownKey)
    assert str(error).startswith(f"unknown key `{key}` {place.format(file=file)}; ")
    assert f"`{near}`" in str(error)


@pytest.mark.parametrize(
    ("setting", "key", "slot", "near"),
    [
        ("task.deph=1", "deph", "task", "depth"),
        ("topology.worker=1", "worker", "topology", "workers"),
        ("local.lrr=1", "lrr", "local", "lr"),
        ("algorithm.floors=1", "floors", "algorithm", None),
        ("until={round=3}", "round", "until", "rounds"),
        ("sync.staleness=1", "staleness", "sync", None),
    ],
)
def test_an_unknown_key_that_was_set_is_refused_with_its_slot_and_the_nearest(
    folder: Path, setting: str, key: str, slot: str, near: str | None
) -> None:
    if slot == "sync":
        setting = 'sync={kind="bsp", staleness=1}'
    error = refused(folder, setting)
    assert isinstance(error, UnknownKey)
    assert str(error).startswith(f"unknown key `{key}` in `{slot}` of --set")
    assert near is None or f"did you mean `{near}`?" in str(error)


def test_two_kinds_at_once_are_refused_with_how_to_take_one_out(folder: Path) -> None:
    error = refused(folder, "until.hours=1")
    assert isinstance(error, WrongValue)
    assert "says two kinds of end, `rounds` and `hours`; take one out, as --set until.rounds= " in (
        str(error)
    )


@pytest.mark.parametrize(
    ("setting", "slot", "near"),
    [
        ("topology.kind=sta", "topology", "did you mean `star`?"),
        ("algorithm=fedavgg", "algorithm", "did you mean `fedavg`?"),
        ("algorithm=D-PSGD", "algorithm", "did you mean `dpsgd`?"),
        ("algorithm=Fed_Avg", "algorithm", "did you mean `fedavg`?"),
        ("task=digit", "task", "did you mean `digits`?"),
        ("sync=zzz", "sync", "known here: `asp`, `bsp`, `buffered`"),
    ],
)
def test_an_unknown_kind_is_refused_with_the_nearest(
    folder: Path, setting: str, slot: str, near: str
) -> None:
    error = refused(folder, setting)
    assert isinstance(error, UnknownKey)
    assert f"unknown kind of {slot}" in str(error)
    assert near in str(error)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("until.rounds=many", "`until.rounds` of --set: expected int, got str 'many'"),
        ("until.rounds=true", "`until.rounds` of --set: expected int, got bool True"),
        ("until.rounds=2.5", "`until.rounds` of --set: expected int, got float 2.5"),
        ("seed='x'", "`seed` of --set: expected int, got str 'x'"),
        ("task.rates=[1, 'a']", "`task.rates[1]` of --set: expected float, got str 'a'"),
        ("task.path=3", "`task.path` of --set: expected str, got int 3"),
        ("topology=3", "`topology` of --set: expected a table with `kind`"),
        ("topology.kind=3", "`topology.kind` of --set: expected a string, got int 3"),
        ("supervision=3", "`supervision` of --set: expected a table with fields of Supervision"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_path_what_was_expected_and_what_it_is(
    folder: Path, setting: str, sentence: str
) -> None:
    error = refused(folder, setting)
    assert isinstance(error, WrongType)
    assert str(error).startswith(sentence)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("topology.workers=0", "`workers` of Star must be from 1 to 65536, got 0"),
        ("until.rounds=0", "`rounds` of Rounds must be from 1 to 1000000000, got 0"),
        ("local.lr=-1", "lr"),
        ("validate=1.0", "`validate` of Run must be at least 0 and below 1, got 1.0"),
        ("seed=-1", "`seed` of Run must be from 0"),
        ("landing=0", "`landing` of Run must be from 1 to 64, got 0"),
        ("name='../x'", "the name of a run must be 1 to 64 letters"),
        ("evaluate.every=0", "`every` of Every must be at least 1, got 0"),
        ("supervision.intensity=-1", "`intensity` of Supervision must be at least 0, got -1"),
        ("supervision.per=nan", "`per` of Supervision must be finite"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(
    folder: Path, setting: str, sentence: str
) -> None:
    error = refused(folder, setting)
    assert isinstance(error, WrongValue)
    assert sentence in str(error)


def test_a_table_that_the_file_and_the_command_line_made_together_names_both(folder: Path) -> None:
    place = f"`topology` of {folder / 'run.toml'}"
    assert str(refused(folder, "topology.workers=0")).startswith(f"{place} with --set: `workers`")
    (folder / "run.toml").write_text(MINIMAL.replace("workers = 3", "workers = 0"))
    assert str(refused(folder, "seed=1")).startswith(f"{place}: `workers`")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"cannot read .*nowhere\.toml: no such file"):
        Run.from_toml(tmp_path / "nowhere.toml")
    with pytest.raises(MissingFile, match="is a directory"):
        Run.from_toml(tmp_path)


def test_a_file_too_large_to_be_a_configuration_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(MissingFile, match="larger than 1048576 bytes"):
        Run.from_toml(file)


@pytest.mark.parametrize("content", [b"seed = ", b"\xff", b"a = " + b"[" * 100_000])
def test_what_is_not_toml_is_refused_by_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(content)
    with pytest.raises(NotToml, match=re.escape(f"{file} is not TOML")):
        Run.from_toml(file)


@pytest.mark.parametrize("key", ["task", "topology", "algorithm", "until"])
def test_a_run_without_a_part_that_has_no_default_is_refused(folder: Path, key: str) -> None:
    lines = [line for line in MINIMAL.splitlines() if not line.startswith(key)]
    (folder / "run.toml").write_text("\n".join(lines))
    error = refused(folder)
    assert isinstance(error, MissingKey)
    assert f"a run needs the key `{key}` in {folder / 'run.toml'}" in str(error)


def test_where_nobody_says_what_a_worker_does_the_task_does(folder: Path) -> None:
    plain = run_of(local=None)
    assert plain.local == SGD(lr=0.1, batch=10)
    assert plain.hash == run_of(local=SGD(lr=0.1, batch=10)).hash
    assert dataclasses.replace(plain, seed=1).local == plain.local
    served = run_of(local=None, algorithm=ParameterServer(0.1))
    assert served.local == Gradients(batch=10)
    own = SPAM.replace("    depth:", "    default_local = SGD(lr=30.0, steps=2)\n    depth:")
    own = own.replace("import Task", "import Task\nfrom actorfl.local import SGD")
    (folder / "spam.py").write_text(own)
    lines = [line for line in MINIMAL.splitlines() if not line.startswith("local")]
    (folder / "run.toml").write_text("\n".join(lines))
    read = Run.from_toml(folder / "run.toml")
    assert read.local == SGD(lr=30.0, steps=2)
    assert read.table()["local"]["lr"] == 30.0
    changed = Run.from_toml(folder / "run.toml", ["local={kind='sgd', lr=0.5}"])
    assert changed.local == SGD(lr=0.5)


@pytest.mark.parametrize("slot", ["task", "topology"])
def test_nothing_fills_no_slot_but_that_of_the_local_loop(slot: str) -> None:
    with pytest.raises(WrongType, match=f"`{slot}` of Run"):
        run_of(**{slot: None})


def test_what_a_task_chooses_must_be_a_local_loop(folder: Path) -> None:
    own = SPAM.replace("    depth:", "    default_local = 0.1\n    depth:")
    (folder / "spam.py").write_text(own)
    lines = [line for line in MINIMAL.splitlines() if not line.startswith("local")]
    (folder / "run.toml").write_text("\n".join(lines))
    assert "`default_local` of Spam" in str(refused(folder))


def test_a_field_without_default_that_was_not_given_is_refused(folder: Path) -> None:
    error = refused(folder, "topology={kind='star'}")
    assert isinstance(error, MissingKey)
    assert "Star needs the key `workers`" in str(error)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nowhere.py:Spam", "there is no file"),
        ("spam.py:Spa", "did you mean 'Spam'?"),
        ("broken.py:Spam", "ZeroDivisionError"),
        ("no_such_module:Spam", "there is no module 'no_such_module'"),
    ],
)
def test_a_task_that_does_not_import_is_refused_with_the_reason(
    folder: Path, kind: str, reason: str
) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    error = refused(folder, f"task.kind={kind}")
    assert isinstance(error, TaskImportError)
    assert reason in str(error)


def test_other_code_that_does_not_import_is_no_fault_of_the_task(folder: Path) -> None:
    error = refused(folder, "algorithm=nowhere.py:Vote")
    assert isinstance(error, CodeImportError)
    assert not isinstance(error, TaskImportError)


def test_a_class_of_another_slot_is_refused(folder: Path) -> None:
    error = refused(folder, "algorithm=spam.py:Spam")
    assert isinstance(error, WrongType)
    assert "expected a class that is a actorfl.algorithm:Algorithm" in str(error)
    with pytest.raises(WrongType, match="`topology` of Run: expected an instance"):
        run_of(topology=FedAvg())


def test_an_algorithm_that_merges_pairs_does_not_fit_a_star() -> None:
    with pytest.raises(Misfit, match="Pairs is computed between neighbours, and Star has an aggr"):
        run_of(algorithm=Pairs())


def test_a_class_that_no_other_process_could_import_is_refused_when_it_is_written() -> None:
    @dataclass(frozen=True)
    class Local(FedAvg):
        pass

    with pytest.raises(ConfigError, match="move it to the top level"):
        run_of(algorithm=Local()).to_toml()


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("seed=5", {"seed": 5, "local": "sgd"}),
        ("x.y = [1, 2.5]", {"seed": 1, "local": "sgd", "x": {"y": [1, 2.5]}}),
        ('"a.b".c=true', {"seed": 1, "local": "sgd", "a.b": {"c": True}}),
        ("name=plain words", {"seed": 1, "local": "sgd", "name": "plain words"}),
        ("local.lr=1e-3", {"seed": 1, "local": {"kind": "sgd", "lr": 0.001}}),
        ("seed=1\nname='x'", {"seed": "1\nname='x'", "local": "sgd"}),
    ],
)
def test_a_setting_is_a_key_and_a_value_of_toml(setting: str, expected: dict[str, Any]) -> None:
    table = {"seed": 1, "local": "sgd"}
    assert override(table, [setting])[0] == expected
    assert table == {"seed": 1, "local": "sgd"}


@pytest.mark.parametrize("setting", ["seed", "=1", "a b=1", "a..b=1", "a\n=1", "#x=1"])
def test_a_setting_without_key_or_value_is_refused(setting: str) -> None:
    with pytest.raises(NotToml, match="--set"):
        override({}, [setting])


def test_a_setting_without_value_takes_its_key_out(folder: Path) -> None:
    (folder / "run.toml").write_text(MINIMAL.replace("lr = 0.5", "lr = 0.5, epochs = 3"))
    steps = "local.steps=5"
    assert "`--set local.epochs=` takes out" in str(refused(folder, steps))
    taken = Run.from_toml(folder / "run.toml", ["local.epochs=", steps])
    assert taken.local == SGD(lr=0.5, steps=5)
    named = Run.from_toml(folder / "run.toml", ["topology.workers=", "topology.named=['a', 'b']"])
    assert named.topology == Star(2, named=("a", "b"))
    assert override({"name": "x"}, ['name=""'])[0] == {"name": ""}


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("local.epoch=", 'no `local.epoch` to take out; an empty string is written ""'),
        ("local.kid=", "no `local.kid` to take out; did you mean `kind`?"),
        ("task.kind=", "no `task.kind` to take out"),
    ],
)
def test_a_key_that_is_not_there_is_not_taken_out(folder: Path, setting: str, hint: str) -> None:
    error = refused(folder, setting)
    assert isinstance(error, UnknownKey)
    assert hint in str(error)


def test_later_settings_win_over_earlier_ones_and_over_the_file(folder: Path) -> None:
    run = Run.from_toml(folder / "run.toml", ["until.rounds=5", "until.rounds=6"])
    assert run.until == Rounds(6)


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "kind"),
    [(slot, kind) for slot in registry.SLOTS.values() for kind in slot.kinds],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_short_name_stands_for_a_frozen_dataclass_that_finds_back_to_it(
    slot: registry.Slot, kind: str
) -> None:
    cls = registry.resolve(slot, kind, "here", Path())
    assert dataclasses.is_dataclass(cls)
    assert getattr(cls, "__dataclass_params__").frozen  # noqa: B009  (mypy does not know it)
    assert registry.kind_of(slot, cls, Path()) == kind


def test_a_class_that_is_no_dataclass_is_refused_with_what_to_write() -> None:
    class Plain:
        pass

    with pytest.raises(ConfigError, match=r"put @dataclass\(frozen=True\) above it"):
        build_fields(Plain, {}, Place("here"))


@dataclass(frozen=True)
class Labelled:
    kind: str = "path"


@dataclass(frozen=True)
class TwoNodes(Peers):
    kind: str = "path"

    @property
    def names(self) -> tuple[str, ...]:
        return ("a", "b")

    def neighbours(self, name: str) -> tuple[str, ...]:
        return ("b",) if name == "a" else ("a",)


@dataclass(frozen=True)
class Marked(PairAlgorithm):
    kind: str = "dpsgd"


@dataclass(frozen=True)
class Bearing(PairAlgorithm):
    labels: tuple[Labelled, ...] = ()


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"topology": TwoNodes()}, "TwoNodes"),
        ({"algorithm": Marked()}, "Marked"),
        ({"algorithm": Bearing()}, "Labelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_is_called_kind_is_refused_where_its_class_is_used(
    changed: dict[str, Any], name: str
) -> None:
    given: dict[str, Any] = {"topology": RingGraph(2), "algorithm": DPSGD(), **changed}
    with pytest.raises(ConfigError, match=f"^{name} has a field `kind`, .*; rename the field$"):
        Run("digits", **given, until=Rounds(2))
    (value,) = changed.values()
    with pytest.raises(ConfigError, match=f"^here: {name} has a field `kind`, .*; rename the fi"):
        build_fields(type(value), {}, Place("here"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("validate", "0.2"),
        ("validate", None),
        ("validate", True),
        ("landing", "2"),
        ("landing", 2.5),
        ("landing", True),
        ("name", 3),
        ("evaluate", 1),
        ("evaluate", "workers"),
        ("supervision", {"intensity": 3}),
        ("durability", ["disk"]),
        ("base", 3),
    ],
)
def test_what_has_another_type_is_refused_in_python_too(key: str, value: Any) -> None:
    with pytest.raises(WrongType, match=f"`{key}` of Run: expected "):
        run_of(**{key: value})
