"""What is said of values of a configuration that cannot be built."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from actorfl.config import Place, build_fields
from actorfl.errors import (
    ConfigError,
    Misfit,
    MissingKey,
    UnknownKey,
    WrongType,
    WrongValue,
)
from tests.actorfl.configs import SPAM, refused, run_of


@dataclass(frozen=True)
class Layer:
    width: int
    act: Literal["relu", "tanh"] = "relu"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")


@dataclass(frozen=True)
class Variety:
    layers: tuple[Layer, ...] = ()
    named: Mapping[str, Layer] = dataclasses.field(default_factory=dict)
    one: Layer | None = None
    modes: tuple[Literal["a", "b"], ...] = ()
    batch: int | Literal["all"] | None = None
    pair: tuple[int, int] = (0, 0)
    where: Path = Path()
    rates: tuple[float, ...] = ()
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    odd: complex = 0j


@pytest.mark.parametrize(
    ("value", "kind", "sentence"),
    [
        (
            {"batch": "al"},
            WrongValue,
            '`x.batch` of f must be int or "all", got "al"; did you mean `all`?',
        ),
        ({"batch": 2.5}, WrongType, '`x.batch` of f: expected int or "all", got float 2.5'),
        ({"modes": ["a", "c"]}, WrongValue, '`x.modes[1]` of f must be "a" or "b", got "c"'),
        ({"modes": 3}, WrongType, "`x.modes` of f: expected a list, got int 3"),
        ({"rates": [1, "b"]}, WrongType, "`x.rates[1]` of f: expected float, got str 'b'"),
        ({"sizes": {"k": "b"}}, WrongType, "`x.sizes.k` of f: expected int, got str 'b'"),
        ({"sizes": 3}, WrongType, "`x.sizes` of f: expected a table, got int 3"),
        ({"pair": [1, 2, 3]}, WrongValue, "`x.pair` of f: expected a list of length 2, got"),
        ({"where": 3}, WrongType, "`x.where` of f: expected a path, written as a string, got int"),
        ({"odd": 3}, ConfigError, "`x.odd` of f: its annotation complex has no form in TOML; use"),
        (
            {"layers": [{"width": 1}, {"widht": 1}]},
            UnknownKey,
            "unknown key `widht` in `x.layers[1]` of f; did you mean `width`?",
        ),
        ({"layers": [{}]}, MissingKey, "Layer needs the key `width` in `x.layers[0]` of f"),
        ({"layers": [3]}, WrongType, "`x.layers[0]` of f: expected a table with fields of Layer"),
        (
            {"named": {"in": {"width": 0}}},
            WrongValue,
            "`x.named.in` of f: width must be at least 1, got 0",
        ),
        (
            {"one": {"width": 1, "act": "rely"}},
            WrongValue,
            '`x.one.act` of f must be "relu" or "tanh", got "rely"; did you mean `relu`?',
        ),
    ],
)
def test_every_refusal_of_a_value_names_its_key_and_speaks_of_toml(
    value: dict[str, Any], kind: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_fields(Variety, value, Place("f", ("x",)))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(sentence)


def test_dataclasses_in_lists_and_tables_are_built() -> None:
    value = {"layers": [{"width": 1}], "named": {"a": {"width": 2}}, "one": {"width": 3}}
    built = build_fields(Variety, value, Place("f", ("x",)))
    assert built == Variety(layers=(Layer(1),), named={"a": Layer(2)}, one=Layer(3))


def test_an_item_of_a_list_that_was_set_is_said_to_be_set(folder: Path) -> None:
    error = refused(folder, "task.rates=[1, 'a']")
    assert str(error).startswith("`task.rates[1]` of --set: ")


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("rounds=5", "did you mean `until.rounds`?"),
        ("epochs=3", "did you mean `local.epochs`?"),
        ("epoch=3", "did you mean `local.epochs`?"),
        ("named=['a']", "did you mean `topology.named`?"),
        ("intensity=3", "did you mean `supervision.intensity`?"),
        ("untill=3", "did you mean `until`?"),
        ("zzz=1", "`supervision`, `sync`, `task`, `topology`, `until`, `validate`"),
    ],
)
def test_a_key_without_its_table_is_answered_with_the_whole_key(
    folder: Path, setting: str, meant: str
) -> None:
    assert str(refused(folder, setting)).endswith(meant)


def test_a_file_without_a_class_is_answered_with_the_classes_that_would_fit(folder: Path) -> None:
    (folder / "ds.py").write_text(
        "import no_such_module\nfrom actorfl import task\n"
        "class Base(task.Task): ...\nclass T(Base): ...\nclass Other: ...\n"
    )
    error = refused(folder, "task.kind=ds.py")
    assert isinstance(error, UnknownKey)
    assert str(error) == (
        "unknown kind of task `ds.py` in `task.kind` of --set; "
        "add the class: `ds.py:Base` or `ds.py:T`"
    )
    (folder / "ds.py").write_text("this is no Python")
    assert str(refused(folder, "task=ds.py")).endswith("add the class: `ds.py:Class`")
    assert str(refused(folder, "task=no.py")).endswith("cannot read it: no such file or directory")


def test_a_part_without_kind_is_refused_with_where_it_stands(folder: Path) -> None:
    assert str(refused(folder, "algorithm={}")) == (
        "an algorithm needs the key `kind` in `algorithm` of --set"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "class Spam2(Spam):\n    more: int = 1\n",
            "Spam2 must be a dataclass: put @dataclass(frozen=True) above it",
        ),
        (
            "@dataclass(frozen=True)\nclass Spam2(Spam):\n    sizes: list[int] | None = None\n",
            "`sizes` of Spam2 is annotated list, which can change while the run goes on; use tuple",
        ),
        (
            "@dataclass(frozen=True)\nclass Spam2(Spam):\n    sizes: dict[str, int] = None\n",
            "`sizes` of Spam2 is annotated dict, which can change while the run goes on; use Mapp",
        ),
    ],
)
def test_a_class_whose_fields_would_be_lost_or_change_is_refused(
    folder: Path, change: str, sentence: str
) -> None:
    (folder / "spam2.py").write_text(f"{SPAM}\n{change}")
    assert str(refused(folder, "task=spam2.py:Spam2")).startswith(sentence)


def test_a_partition_is_refused_where_every_worker_has_data_of_its_own(folder: Path) -> None:
    error = refused(folder, "partition=iid")
    assert isinstance(error, Misfit)
    assert "task Spam has its own data per worker, by train(who)" in str(error)
    assert tomllib.loads(run_of().to_toml())["partition"] == {"kind": "iid"}
