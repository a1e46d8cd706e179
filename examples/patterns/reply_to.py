"""The answer goes to somebody else: the request names who is to have it.

python reply_to.py
"""

import actors
from actors import Actor, ActorRef, ActorSystem, Message


class Printed(Message[None]):
    job: int
    pages: int


class Print(Message[None]):
    job: int
    text: str
    reply_to: ActorRef


class Printer(Actor):
    def print(self, message: Print) -> None:
        message.reply_to.tell(Printed(message.job, len(message.text.split())))


class Office(Actor):
    """Passes jobs on, and has nothing to do with the answers."""

    def __init__(self, printers: list[ActorRef[Printer]]) -> None:
        self._printers = printers

    def print(self, message: Print) -> None:
        self._printers[message.job % len(self._printers)].tell(message)


class Pages(Message[int]):
    jobs: int


class Customer(Actor):
    def __init__(self, office: ActorRef[Office]) -> None:
        self._pages: dict[int, int] = {}
        for job, text in enumerate(["one", "two words", "three short words"]):
            office.tell(Print(job, text, self.ref))

    def printed(self, message: Printed) -> None:
        self._pages[message.job] = message.pages
        self.stash.unstash_all()

    def pages(self, message: Pages) -> int:
        if len(self._pages) < message.jobs:
            return self.stash.stash(message)
        return sum(self._pages.values())


async def main() -> None:
    async with ActorSystem("demo") as system:
        printers = [await system.spawn(f"printer{number}", Printer) for number in range(2)]
        office = await system.spawn("office", Office, printers=printers)
        customer = await system.spawn("customer", Customer, office=office)
        print(await customer.ask(Pages(3), timeout=5))


if __name__ == "__main__":
    actors.run(main())
