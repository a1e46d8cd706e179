"""Who is in a star."""

from __future__ import annotations

import pytest

from actorfl.errors import MissingKey, WrongValue
from actorfl.topology import WORKERS_MAX, Star


def test_workers_are_named_by_their_index_unless_the_star_names_them() -> None:
    assert Star(3).names == ("w0", "w1", "w2")
    assert Star(2, named=("north", "south")).names == ("north", "south")


def test_names_alone_say_how_many_workers_there_are() -> None:
    assert Star(named=("north", "south")) == Star(2, named=("north", "south"))
    with pytest.raises(MissingKey, match=r"Star needs the key `workers` \(how many\), or `named`"):
        Star()


@pytest.mark.parametrize("workers", [0, -1, WORKERS_MAX + 1])
def test_a_star_without_workers_or_with_too_many_is_refused(workers: int) -> None:
    with pytest.raises(
        WrongValue, match=f"`workers` of Star must be from 1 to 65536, got {workers}"
    ):
        Star(workers)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (("a",), r"as many names as there are workers \(2; leave that out\)"),
        (("a", "a"), "distinct"),
        (("a", "../b"), "letters, digits"),
        (("a", ""), "letters, digits"),
        (("a", "b" * 65), "64 at most"),
    ],
)
def test_names_that_are_not_distinct_names_are_refused(named: tuple[str, ...], reason: str) -> None:
    with pytest.raises(WrongValue, match=reason):
        Star(2, named=named)
