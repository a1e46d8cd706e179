"""What nodes tell of their faults is added up, whatever is lost, doubled or garbled on the way."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from actors.faults.tally import Tally, encoded
from transports import NodeId

FIRST, SECOND, OTHER = NodeId("p0", 1), NodeId("p0", 2), NodeId("p1", 3)


def test_each_tells_all_since_its_start_so_that_one_told_twice_counts_once() -> None:
    tally = Tally()
    for node, counts in (
        (FIRST, {"drop": 1}), (FIRST, {"drop": 3, "full": 1}), (FIRST, {"drop": 3, "full": 1}),
        (OTHER, {"drop": 2}), (SECOND, {}), (SECOND, {"drop": 4}),
    ):  # fmt: skip
        tally.told(node, encoded(counts))
    assert tally.total() == {"drop": 3 + 2 + 4, "full": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        encoded({"x" * 33: 1}),
        encoded({"drop": -1}),
        encoded({"drop": 2**62}),
        encoded({str(n): 1 for n in range(65)}),
        msgspec.msgpack.encode(["drop"]),
        b"\x81\xa1\xff\x01",
    ],
)
def test_what_cannot_be_read_changes_nothing(body: bytes) -> None:
    tally = Tally()
    tally.told(FIRST, encoded({"drop": 1}))
    tally.told(FIRST, body)
    tally.told(OTHER, body)
    assert tally.total() == {"drop": 1}


async def test_who_does_not_answer_is_asked_again_and_not_waited_for_beyond_the_limit() -> None:
    tally, asked = Tally(), list[str]()

    def ask(name: str) -> None:
        asked.append(name)
        if name == "p1" and asked.count(name) == 2:
            tally.told(OTHER, encoded({"drop": 1}))

    async with asyncio.timeout(5.0):
        await tally.gather(["p0", "p1"], ask, 0.6)
        assert asked.count("p1") == 2
        assert asked.count("p0") == 3
        await tally.gather(["p1"], lambda _: tally.told(OTHER, b""), float("inf"))
        await tally.gather([], ask, float("inf"))
    assert tally.total() == {"drop": 1}
