"""Models that are held or forwarded whole: what travels, in which order, and what is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from actorfl.errors import Misfit
from actorfl.grid import Grid
from actorfl.holding import MOST_HELD, Holder, check_held
from actorfl.layout import Layout
from actorfl.merging import Merger, Refused
from actorfl.terms import Contribution, Packed, Sum, Terms, TermsError, TermsHeader, Whole
from transports import Weights

NET = Layout.of({"w": np.zeros(3, dtype=np.float32), "seen": np.array(0)})
GRID = Grid.of(NET.zeros(), NET, 1000)
WORKERS = ("w3", "w0", "w2", "w10")


def update(worker: str, clock: int = 0) -> Terms:
    number = int(worker[1:])
    vector = np.full(3, number, np.float32)
    return Terms(model=Sum(vector, number + 1), steps=number).stated(
        worker=worker, clock=clock, examples=number + 1, layout=NET,
        integers={"seen": np.array(number)},
    )  # fmt: skip


def held(*workers: str) -> Holder:
    holder = Holder(NET, GRID, 0)
    for worker in workers:
        holder.fold(update(worker))
    return holder


def travelled(terms: Terms) -> Terms:
    """As they come out at the other end."""
    header, arrays = terms.to_wire()
    weights = Weights.of(arrays)
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(header), type=TermsHeader)
    return Terms.from_wire(wire, {name: weights[name] for name in weights.names()})


@pytest.mark.parametrize("groups", [[WORKERS], [WORKERS[:1], WORKERS[1:]], [(w,) for w in WORKERS]])
def test_whoever_forwards_them_they_are_held_by_worker(groups: list[tuple[str, ...]]) -> None:
    root = Holder(NET, GRID, 0)
    for group in groups:
        middle = Holder(NET, GRID, 0)
        middle.fold(travelled(held(*group).partial()))
        root.fold(travelled(middle.partial()))
    found, star = root.merged(), held(*WORKERS).merged()
    assert [model[0] for model in found.models["model"]] == [0, 10, 2, 3]
    np.testing.assert_array_equal(found.models["model"], star.models["model"])
    assert found.contributions == star.contributions
    assert (found.examples, found.counts) == (star.examples, star.counts) == (19, {"steps": 15})
    assert int(found.integers["seen"]) == 10


def test_what_is_forwarded_weighs_what_its_parts_do_and_is_a_copy() -> None:
    holder = held("w1", "w2")
    terms = holder.partial()
    holder.restart(GRID, 1)
    holder.fold(update("w1", clock=1))
    assert terms.whole["model"].weight == 5
    assert terms.whole["model"].array.tolist() == [[1, 1, 1], [2, 2, 2]]
    assert terms.contributions == {Contribution("w1", 0), Contribution("w2", 0)}
    assert holder.partial().whole["model"].weight == 2


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 3), np.float32), "shape"),
        (np.zeros((2, 4), np.float32), "shape"),
        (np.zeros(3, np.float32), "shape"),
        (np.zeros((2, 3)), "dtype"),
        (np.full((2, 3), np.nan, np.float32), "non-finite"),
    ],
)
def test_rows_that_are_no_models_are_refused_and_nothing_is_held(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], reason: str
) -> None:
    terms = held("w1", "w2").partial()
    terms.whole["model"] = Whole(array, 5)
    holder = held("w0")
    with pytest.raises(Refused) as caught:
        holder.fold(terms)
    assert caught.value.reason == reason
    assert [each.worker for each in holder.merged().contributions] == ["w0"]
    assert len(holder.merged().models["model"]) == 1


def test_a_worker_is_held_once_whoever_forwards_it() -> None:
    holder = held("w2")
    with pytest.raises(Refused, match="w2 is already in round 1"):
        holder.fold(held("w1", "w2").partial())
    terms = held("w1").partial()
    terms.whole = {"other": terms.whole["model"]}
    with pytest.raises(Refused, match=r"its terms are \['other'\], those of this round"):
        holder.fold(terms)


def test_a_sum_takes_no_models_that_are_forwarded() -> None:
    merger = Merger(NET, GRID, 0)
    with pytest.raises(Refused, match="are not added up"):
        merger.fold(held("w1", "w2").partial())
    assert not merger.merged()


def test_a_header_and_rows_that_contradict_each_other_are_refused() -> None:
    terms = held("w1", "w2").partial()
    header, arrays = terms.to_wire()
    (total,) = header.sums
    single = msgspec.structs.replace(header, sums=(msgspec.structs.replace(total, count=0),))
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(single, arrays)
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(header, {**arrays, "whole/other": arrays["whole/model"]})
    terms.packed["model"] = Packed({"indices": np.zeros(1, np.int64)}, 3)
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(*terms.to_wire())


def test_what_is_on_its_way_counts_among_what_an_aggregator_may_hold() -> None:
    most = MOST_HELD // (4 * NET.size)
    check_held("Krum", NET, most - 10, 10)
    with pytest.raises(Misfit, match=f"all {most - 10} workers and 11 on their way"):
        check_held("Krum", NET, most - 10, 11)
