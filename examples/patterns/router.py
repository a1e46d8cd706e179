"""Workers in two processes behind one address: each has one job at a time, the rest waits.

python router.py
"""

from collections import deque

import actors
from actors import Actor, ActorGraph, ActorRef, Message, Process, Processes


class Factor(Message[list[int]]):
    number: int


class Worker(Actor):
    def factor(self, message: Factor) -> list[int]:
        number, divisor = message.number, 2
        factors: list[int] = []
        while number > 1:
            while number % divisor == 0:
                factors.append(divisor)
                number //= divisor
            divisor += 1
        return factors


class Job(Message[None]):
    number: int
    reply_to: ActorRef


class Done(Message[None]):
    number: int
    factors: list[int]


class Undone(Message[None]):
    number: int
    why: str


class Free(Message[None]):
    worker: ActorRef[Worker]
    to: ActorRef
    outcome: Done | Undone


class Pool(Actor):
    most_waiting = 1_000

    def __init__(self, workers: list[ActorRef[Worker]]) -> None:
        self._free = deque(workers)
        self._jobs: deque[Job] = deque()

    def job(self, message: Job) -> None:
        if len(self._jobs) == self.most_waiting:
            message.reply_to.tell(Undone(message.number, "too many jobs wait"))
            return
        self._jobs.append(message)
        self._give()

    def free(self, message: Free) -> None:
        message.to.tell(message.outcome)
        self._free.append(message.worker)
        self._give()

    def _give(self) -> None:
        while self._free and self._jobs:
            self._work(self._free.popleft(), self._jobs.popleft())

    def _work(self, worker: ActorRef[Worker], job: Job) -> None:
        number, to = job.number, job.reply_to
        self.pipe_to_self(
            worker.ask(Factor(number), timeout=30),
            lambda factors: Free(worker, to, Done(number, factors)),
            lambda error: Free(worker, to, Undone(number, str(error))),
        )


class Results(Message[list[str]]):
    """Answered when all jobs have ended."""


class Customer(Actor):
    def __init__(self, pool: ActorRef[Pool], numbers: list[int]) -> None:
        self._open = set(numbers)
        self._results: list[str] = []
        for number in numbers:
            pool.tell(Job(number, self.ref))

    def done(self, message: Done) -> None:
        self._ended(message.number, " x ".join(map(str, message.factors)))

    def undone(self, message: Undone) -> None:
        self._ended(message.number, message.why)

    def _ended(self, number: int, result: str) -> None:
        self._open.discard(number)
        self._results.append(f"{number} = {result}")
        self.stash.unstash_all()

    def results(self, message: Results) -> list[str]:
        return self.stash.stash(message) if self._open else sorted(self._results)


async def main() -> None:
    graph = ActorGraph("factory")
    with graph.supervisor("root"):
        workers = graph.actors("worker{}", 2, Worker, place=Process())
        pool = graph.actor("pool", Pool, workers=workers)
        graph.actor("customer", Customer, pool=pool, numbers=[12, 2021, 360, 97])
    async with graph.start(on=Processes(2)) as live:
        for result in await live["customer"].ask(Results(), timeout=30):
            print(result)


if __name__ == "__main__":
    actors.run(main())
