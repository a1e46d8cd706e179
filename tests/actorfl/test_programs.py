"""The classes of programs for nodes, with and without the decorator and fields of their own."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import pytest

from actorfl import Me, NodeLoop, RingGraph
from actorfl.errors import ConfigError
from actorfl.registry import check_class
from tests.actorfl.configs import run_of


class Plain(NodeLoop):
    async def run(self, me: Me) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Decorated(NodeLoop):
    async def run(self, me: Me) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Slotted(NodeLoop):
    async def run(self, me: Me) -> None:
        """Nothing."""


@dataclass(frozen=True)
class WithField(Plain):
    every: int = 2


class Derived(WithField):
    pass


@dataclass(frozen=True)
class DerivedDecorated(WithField):
    pass


@pytest.mark.parametrize("cls", [Plain, Decorated, Slotted, WithField, Derived, DerivedDecorated])
def test_a_program_is_a_frozen_dataclass_decorated_or_not(cls: type[Any]) -> None:
    check_class(cls)
    one, other = cls(), cls()
    assert one == other
    assert hash(one) == hash(other)
    names = [field.name for field in fields(cls)]
    assert names == (["every"] if issubclass(cls, WithField) else [])
    for name in ("every", "more"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(one, name, 3)
    with pytest.raises((FrozenInstanceError, TypeError)):
        del one.every
    assert repr(one) == (f"{cls.__name__}(every=2)" if names else f"{cls.__name__}()")
    if names:
        assert cls(every=3) != one


def test_a_program_with_fields_and_no_decorator_is_refused_with_what_to_put_above_it() -> None:
    class Fielded(NodeLoop):
        every: int = 2

        async def run(self, me: Me) -> None:
            """Nothing."""

    given = {"algorithm": None, "until": None, "topology": RingGraph(4)}
    with pytest.raises(ConfigError, match=r"Fielded must be a dataclass: put @dataclass\(frozen"):
        run_of(node=Fielded(), **given)
