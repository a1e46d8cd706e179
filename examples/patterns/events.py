"""What happens in a system, heard where its launcher lives: failures, dead letters, own events.

python events.py
"""

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorGraph,
    Custom,
    DeadLetter,
    Message,
    Process,
    Processes,
)


class Sell(Message[None]):
    item: str


class Shop(Actor):
    def __init__(self) -> None:
        self._left = 1

    def sell(self, message: Sell) -> None:
        if self._left == 0:
            raise LookupError(f"no {message.item} left")
        self._left -= 1
        self.publish("sold", item=message.item, left=self._left)


async def main() -> None:
    graph = ActorGraph("demo")
    with graph.supervisor("root"):
        graph.actor("shop", Shop, place=Process())
    async with graph.start(on=Processes(1)) as live:
        events = live.system.events
        end = events.subscribe(Custom, lambda event: print(event.kind, event.fields["item"]))
        events.subscribe(ActorFailure, lambda event: print(event.path, event.error))
        events.subscribe(DeadLetter, lambda event: print(event.message, event.reason))
        shop = live["shop"]
        await shop.ask(Sell("tea"), timeout=10)
        end()  # no longer interested in these
        try:
            await shop.ask(Sell("tea"), timeout=10)
        except ActorFailed:
            await shop.ask(Sell("cup"), timeout=10)  # by the next instance


if __name__ == "__main__":
    actors.run(main())
