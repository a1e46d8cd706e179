"""Tests of an actor that packs parcels, alone and with a depot on another node.

pytest test_parcels.py
"""

import pytest

from actors import Actor, ActorFailure, ActorRef, ActorSystem, Deployment, Message, Simulated
from actors.testing import TestProbe, dead_letters, record, systems

pytest_plugins = ["actors.testing.pytest_plugin"]


class Pack(Message[None]):
    order: str


class Weigh(Message[float]):
    order: str


class Parcel(Message[None]):
    order: str
    grams: float


class Packer(Actor):
    """Has each order weighed and sends the parcel on."""

    def __init__(self, scales: ActorRef, depot: ActorRef) -> None:
        self._scales = scales
        self._depot = depot

    async def pack(self, message: Pack) -> None:
        if not message.order:
            raise ValueError("an order without a name")
        grams = await self._scales.ask(Weigh(message.order), timeout=10)
        self._depot.tell(Parcel(message.order, grams))


async def test_a_parcel_goes_to_the_depot_with_its_weight(system: ActorSystem) -> None:
    scales, depot = await TestProbe.on(system, "scales"), await TestProbe.on(system, "depot")
    packer = await system.spawn("packer", Packer, scales=scales.ref, depot=depot.ref)

    packer.tell(Pack("tea"))
    weigh = await scales.expect_message(Weigh)
    await depot.expect_no_message(for_=0.05)  # not before it is weighed
    scales.asked(weigh).reply(100.0)
    assert await depot.expect_message(Parcel) == Parcel("tea", 100.0)

    scales.when(Weigh).reply_with(lambda weigh: 10.0 * len(weigh.order))
    packer.tell(Pack("coffee"))
    await depot.expect_message(Parcel, where=lambda parcel: parcel.grams == 60.0)


async def test_a_packer_that_fails_is_gone_and_what_comes_later_is_lost(
    system: ActorSystem,
) -> None:
    probe = await TestProbe.on(system)
    packer = await system.spawn("packer", Packer, scales=probe.ref, depot=probe.ref)
    failures = record(system, ActorFailure)
    packer.tell(Pack(""))
    assert (await failures.next()).error == "ValueError: an order without a name"
    assert (await probe.expect_terminated(packer)).cause == "failed"
    with dead_letters(system) as letters:
        packer.tell(Pack("tea"))
        await letters.expect(Pack, reason="no such actor")


async def test_a_parcel_reaches_a_depot_on_another_node(deployment: Deployment) -> None:
    async with systems("shop", "harbour", on=deployment) as (shop, harbour):
        scales, depot = await TestProbe.on(shop), await TestProbe.on(harbour)
        scales.when(Weigh).reply(100.0)
        packer = await shop.spawn("packer", Packer, scales=scales.ref, depot=depot.ref)
        packer.tell(Pack("tea"))
        await depot.expect_message(Parcel)


@pytest.mark.parametrize("deployment", [Simulated()])
async def test_who_watches_a_depot_hears_of_the_crash_of_its_node(deployment: Deployment) -> None:
    async with systems("shop", "harbour", on=deployment) as nodes:
        shop, harbour = nodes
        depot, probe = await TestProbe.on(harbour), await TestProbe.on(shop)
        probe.watch(depot.ref)
        await nodes.crash("harbour")
        assert (await probe.expect_terminated(depot.ref)).cause == "killed"
