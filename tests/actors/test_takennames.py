"""Names that are taken."""

from __future__ import annotations

import pytest

from actors import Actor, ActorSystem, UsageError
from actors.takennames import TakenNames


def test_a_name_is_free_once_all_that_had_it_are_gone() -> None:
    names = TakenNames()
    for name in ("ann", "bob", "ann"):
        names.add(name)
    names.remove("ann")
    assert "ann" in names
    names.remove("ann")
    assert "ann" not in names
    assert "bob" in names
    with pytest.raises(KeyError):
        names.remove("ann")


class Idle(Actor):
    pass


async def test_a_name_can_be_given_again_once_its_actor_has_stopped() -> None:
    async with ActorSystem("names") as system:
        for _ in range(3):
            ref = await system.spawn("ann", Idle)
            with pytest.raises(UsageError, match="named 'ann' already"):
                await system.spawn("ann", Idle)
            await system.stop(ref)
