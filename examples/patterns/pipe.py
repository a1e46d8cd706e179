"""Wait for something beside the mailbox, and have its outcome as a message.

python pipe.py
"""

import asyncio

import actors
from actors import Actor, ActorSystem, Message


async def fetch(page: str) -> str:
    """Stands for a client of a database, say: anything that is awaited."""
    await asyncio.sleep(0.05)
    if page == "/lost":
        raise OSError("no such page")
    return f"text of {page}"


class Visit(Message[None]):
    page: str


class Fetched(Message[None]):
    page: str
    text: str


class Missed(Message[None]):
    page: str
    why: str


class Pages(Message[dict[str, str]]):
    """Answered when nothing is under way any more."""


class Reader(Actor):
    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._pages: dict[str, str] = {}

    def visit(self, message: Visit) -> None:
        page = message.page
        if page in self._under_way:
            return
        self._under_way.add(page)
        self.pipe_to_self(
            fetch(page), lambda text: Fetched(page, text), lambda error: Missed(page, str(error))
        )

    def fetched(self, message: Fetched) -> None:
        self._ended(message.page, message.text)

    def missed(self, message: Missed) -> None:
        self._ended(message.page, message.why)

    def _ended(self, page: str, outcome: str) -> None:
        self._under_way.discard(page)
        self._pages[page] = outcome
        self.stash.unstash_all()

    def pages(self, message: Pages) -> dict[str, str]:
        return self.stash.stash(message) if self._under_way else self._pages


async def main() -> None:
    async with ActorSystem("demo") as system:
        reader = await system.spawn("reader", Reader)
        for page in ("/home", "/lost", "/home"):
            reader.tell(Visit(page))
        for page, text in sorted((await reader.ask(Pages(), timeout=5)).items()):
            print(page, "->", text)


if __name__ == "__main__":
    actors.run(main())
