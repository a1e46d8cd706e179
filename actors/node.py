"""A node in a process of its own, ``python -m actors.node``: started by a launcher only."""

from __future__ import annotations

from actors import lifeline


def main() -> None:
    """Attach to the launcher first, then load the runtime and serve until the launcher ends it."""
    try:
        config = lifeline.attach()
    except lifeline.LifelineError as error:
        raise SystemExit(f"actors.node: {error}") from None
    _serve(config)


def _serve(raw: bytes) -> None:
    import logging
    import os
    import sys

    import msgspec

    from actors import crashpoints
    from actors.errors import ActorError
    from actors.faults.clock import ResetClock, SkewedClock
    from actors.faults.disks import DiskFaults, FaultyStorage
    from actors.faults.links import FaultyLinks
    from actors.faults.moment import Lookout
    from actors.faults.noise import Corruption
    from actors.runner import loop_factory, run
    from actors.serving import EXIT_CUT_OFF, NodeConfig, serve
    from actors.spare import SpareConfig, await_identity
    from actors.storage import FileStorage
    from actors.world import World
    from transports import TransportError

    config = msgspec.msgpack.decode(raw, type=NodeConfig | SpareConfig)
    if isinstance(config, SpareConfig):
        loop_factory()  # loads uvloop
        config = msgspec.msgpack.decode(await_identity(config), type=NodeConfig)
    logging.basicConfig(
        level=logging.DEBUG if config.debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    storage = None
    if config.storage is not None:
        storage = FileStorage(config.storage, durability=config.durability)  # type: ignore[arg-type]  # checked by it
    world = World(storage=storage)
    if config.faults is not None:
        skew = config.faults.skew(config.name)
        if skew:
            world.clock = SkewedClock(skew)
            world.fault_counts["skew"] += 1
        began = world.clock.now() - config.elapsed
        resets = config.faults.resets(config.name)
        if resets:
            world.clock = ResetClock(
                world.clock, resets, config.faults.until, began, world.moments, world.fault_counts
            )
        if world.storage is not None and config.faults.disturbs_disks:
            disks = DiskFaults(
                config.faults,
                config.name,
                config.start,
                world.clock,
                began,
                world.fault_counts,
                moments=world.moments,
            )
            world.storage = FaultyStorage(world.storage, disks)
        lookout = None
        if config.faults.moments:
            clock, moments = world.clock, world.moments
            lookout = Lookout(
                config.faults.moments,
                config.name,
                lambda moment: moments.seen(moment, clock.now() - began),
            )
        crashpoints.install(
            config.faults.points,
            node=config.name,
            generation=config.start,
            tell=crashpoints.announce,
            lookout=lookout.passed if lookout is not None else None,
        )
        if config.faults.disturbs_messages or config.faults.separates:
            world.faults = FaultyLinks(
                config.faults,
                config.name,
                config.start,
                world.clock,
                began,
                world.fault_counts,
                moments=world.moments,
                silent=True,
            )
        if config.faults.damages_frames:
            world.noise = Corruption(
                config.faults,
                config.name,
                config.start,
                world.clock,
                began,
                world.fault_counts,
                moments=world.moments,
            )

    async def be_that_node() -> None:
        reason = await serve(config, world)
        logging.getLogger("actors.node").error("%s", reason)
        logging.shutdown()
        sys.stdout.flush()
        # At once: whatever an actor would save or send now is not wanted any more.
        os._exit(EXIT_CUT_OFF)

    try:
        # Its launcher is to see what it died of.
        run(be_that_node(), use_uvloop=config.uvloop, terminable=False)
    except (ActorError, TransportError) as error:
        raise SystemExit(f"actors.node: {config.name} cannot start: {error}") from None


if __name__ == "__main__":
    main()
