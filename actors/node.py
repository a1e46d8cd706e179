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
    import asyncio
    import logging

    import msgspec

    from actors.processes import NodeConfig
    from actors.runner import run

    config = msgspec.msgpack.decode(raw, type=NodeConfig)
    logging.basicConfig(
        level=logging.DEBUG if config.debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )

    async def serve() -> None:
        from actors.signals import NodeReady
        from actors.storage import FileStorage
        from actors.system import NODE_UID, ActorSystem
        from actors.world import World

        storage = None
        if config.storage is not None:
            storage = FileStorage(config.storage, durability=config.durability)  # type: ignore[arg-type]  # checked by it
        system = ActorSystem(
            config.name,
            world=World(storage=storage),
            cluster=config.cluster,
            incarnation=config.incarnation,
            generation=config.generation,
        )
        await system.start()
        address = await system.router.endpoint.listen(config.listen)
        system.router.launcher = config.launcher.name
        system.router.node_up(config.launcher, config.launcher_address)
        system.router.signal(config.launcher.name, NODE_UID, NodeReady(address))
        # Until the launcher kills this process or is gone itself; the lifeline sees to both.
        await asyncio.Event().wait()

    run(serve(), use_uvloop=config.uvloop)


if __name__ == "__main__":
    main()
