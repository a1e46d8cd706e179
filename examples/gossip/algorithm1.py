"""Gossip learning, Algorithm 1 of Ormándi, Hegedűs and Jelasity (2013), a line for each of theirs.

python algorithm1.py [PERIODS]
"""

import argparse
import random

import numpy as np

from actors import Actor, ActorGraph, ActorRef, Message, Simulated, run

NODES, PERIOD = 20, 10.0


class Model(Message[None]):
    w: list[float]
    t: int


class Tick(Message[None]): ...


class Ask(Message[float]): ...  # how often is your model wrong?


def data(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 2, n) * 2 - 1
    return draw.normal(size=(n, 10)) + 0.6 * y[:, None], y


class Node(Actor):
    def __init__(self, index: int, peers: dict[str, ActorRef]) -> None:
        self.random, self.peers = random.Random(index), list(peers.values())
        self.x, self.y = data(index, 1)  # one example: nobody learns much alone
        self.last, self.current = (np.zeros(10), 0), (np.zeros(10), 0)  # 1: initModel(lastModel)

    async def on_start(self) -> None:  # 2: loop
        phase = self.random.uniform(0, PERIOD)
        self.timers.start("tick", Tick(), after=phase, every=PERIOD)  # 3: wait(Δ)

    def tick(self, message: Tick) -> None:
        peer = self.random.choice(self.peers)  # 4: p <- selectPeer()
        w, t = self.current
        peer.tell(Model(w.tolist(), t))  # 5: send currentModel to p

    def on_model(self, m: Model) -> None:  # 6: procedure onReceiveModel(m)
        received = np.array(m.w), m.t
        self.current = self.update(self.merge(received, self.last))  # 7: createModel(m, lastModel)
        self.last = received  # 8: lastModel <- m

    def merge(self, a: tuple[np.ndarray, int], b: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
        return (a[0] + b[0]) / 2, max(a[1], b[1])

    def update(self, m: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:  # Pegasos: a step of SVM
        (w, t), (x,), (y,) = (m[0], m[1] + 1), self.x, self.y
        return (1 - 1 / t) * w + (y * x / (0.1 * t) if y * (w @ x) < 1 else 0), t

    def wrong(self, message: Ask) -> float:
        x, y = data(1000, 500)
        return float(np.mean(np.sign(x @ self.current[0]) != y))


async def main(periods: int) -> None:
    names = [f"n{i}" for i in range(NODES)]
    g = ActorGraph("gossip")
    with g.supervisor("root"):
        for i, name in enumerate(names):
            others = {n: g.link(n, Node, mutual=True) for n in names if n != name}
            g.actor(name, Node, index=i, peers=others)
    async with g.start(on=Simulated()) as live:
        for _ in range(2):
            errors = [await live[name].ask(Ask(), timeout=60) for name in names]
            print(f"mean error {np.mean(errors):.3f}, worst {max(errors):.3f}")
            await live.system.world.clock.sleep(periods * PERIOD)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("periods", type=int, nargs="?", default=100, help="from 1; default 100")
    if (periods := parser.parse_args().periods) < 1:
        parser.error(f"periods are at least 1, got {periods}")
    run(main(periods), on=Simulated())
