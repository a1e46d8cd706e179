"""What a child node does, in a process of its own or in a simulated one."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from actors.faults.plan import FaultPlan
from actors.signals import NODE_UID, MomentCame, NodeReady
from actors.system import ActorSystem
from actors.world import World
from transports import NodeId


class NodeConfig(msgspec.Struct, frozen=True, tag="node"):
    """What a node's process is told at its start.

    Attributes:
        name: of the node.
        incarnation: of the node.
        generation: how many processes of that name came before, over all resumed runs.
        cluster: of the launcher.
        launcher: name and incarnation of the launcher.
        launcher_address: where it listens.
        listen: where the node is to listen.
        storage: root of its storage, or None.
        durability: of its storage.
        uvloop: whether to use uvloop where it is installed.
        debug: log at debug level.
        start: of this process under its launcher, 0 for the first.
        faults: what shall go wrong, if anything.
        elapsed: seconds since the launcher started, from where the times of faults count.
        reach: seconds within which the launcher has to be reached.
    """

    name: str
    incarnation: int
    generation: int
    cluster: str
    launcher: NodeId
    launcher_address: str
    listen: str
    storage: str | None
    durability: str
    uvloop: bool
    debug: bool = False
    start: int = 0
    faults: FaultPlan | None = None
    elapsed: float = 0.0
    reach: float = 60.0


EXIT_CUT_OFF: Final = 72
"""Exit code of a child with which its launcher wants no more to do."""


async def serve(config: NodeConfig, world: World) -> str:
    """Be that node until the process ends, or its launcher says that it counts as dead.

    Returns:
        Why it counts as dead; its process has to end now, without saving or sending anything.
    """
    system = ActorSystem(
        config.name,
        world=world,
        cluster=config.cluster,
        incarnation=config.incarnation,
        generation=config.generation,
    )
    await system.start()
    address = await system.router.endpoint.listen(config.listen)
    system.router.launcher = config.launcher.name
    system.router.node_up(config.launcher, config.launcher_address)
    if not world.counts_shared:
        world.moments.tell = lambda moment, seconds: system.router.signal(
            config.launcher.name, NODE_UID, MomentCame(moment, seconds)
        )
    system.router.signal(config.launcher.name, NODE_UID, NodeReady(address))
    try:
        async with asyncio.timeout(config.reach):
            await system.peers.launcher_up.wait()
    except TimeoutError:
        link = system.router.link_to(config.launcher.name)
        trouble = link.trouble if link is not None else None
        return (
            f"node {config.name} cannot reach its launcher at {config.launcher_address} and "
            f"leaves: {trouble or 'no answer'}"
        )
    # Until the launcher kills this process or is gone itself, to which the lifeline sees. A node
    # that was declared dead while it was frozen or cut off learns it here, when it is back.
    reason = await system.peers.cut_off
    return f"node {config.name} leaves: {reason}"
