"""Nodes in a ring: each trains, hands its model on, and averages with the one that it is handed.

python ring.py [ROUNDS]
"""

import sys
from dataclasses import dataclass

from actorfl import Me, NodeLoop, Processes, RingGraph, Run, average


@dataclass(frozen=True)
class Ring(NodeLoop):
    """What each node does."""

    rounds: int = 20

    async def run(self, me: Me) -> None:
        for r in me.rounds(self.rounds):  # resumes after the round last saved
            weights = await me.fit(me.weights)  # in the training lane
            await me.send(me.neighbours[0], weights, tag=r)  # kept until that one has saved
            me.weights = average(weights, (await me.receive(tag=r, timeout=30)).weights)
            await me.save()  # weights, round, and what was sent and received, together


if __name__ == "__main__":
    given = sys.argv[1] if sys.argv[1:] else "20"
    if not given.isdecimal() or int(given) == 0:
        sys.exit(f"ROUNDS must be a whole number above 0, got {given}")
    node = Ring(int(given))
    result = Run("digits", RingGraph(8), node=node, name="ring").start(on=Processes(2))
    print(f"accuracy {result.accuracy:.3f} of the mean node after {result.rounds} rounds")
