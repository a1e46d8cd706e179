"""A pool that grows and shrinks while it runs, looked into and held for a moment.

python pool.py [inline | processes | simulated]
"""

import sys

import actors
from actors import Actor, ActorGraph, Deployment, Inline, Message, Processes, Simulated, one_for_one


class Work(Message[str]):
    what: str


class Worker(Actor):
    def __init__(self, skill: str) -> None:
        self.skill = skill
        self.done = 0

    def work(self, message: Work) -> str:
        self.done += 1
        return f"{message.what}, {self.skill}"


async def main(on: Deployment) -> None:
    graph = ActorGraph("shop")
    with graph.supervisor("root"):
        graph.actor("clerk", Worker, skill="written down")
        with graph.supervisor("pool", one_for_one(5, per=60)):
            pass
    async with graph.start(on) as live:
        pool = live.children("pool")
        node = "shop" if isinstance(on, Inline) else "p0"
        packer = await pool.start("packer", Worker, node=node, skill="packed")
        print(await packer.ask(Work("tea"), timeout=5))
        state = await live.system.debug.get_state(packer)
        print(state.path, state.state, state.attributes)
        await pool.start("sender", Worker, skill="sent", restart="transient")
        print([(child.name, child.restart, child.stage) for child in await pool.list()])
        await pool.terminate("packer")
        print([child.name for child in await pool.list()])


DEPLOYMENTS: dict[str, Deployment] = {
    "inline": Inline(),
    "processes": Processes(1),
    "simulated": Simulated(1),
}

if __name__ == "__main__":
    on = DEPLOYMENTS[sys.argv[1] if len(sys.argv) > 1 else "processes"]
    actors.run(main(on), on=on)
