"""What has to happen before a program is gone, phase by phase; Ctrl-C and SIGTERM start it, too.

python shutdown.py
"""

import actors
from actors import Actor, ActorSystem, Message


class Write(Message[None]):
    line: str


class Flush(Message[int]):
    pass


class Journal(Actor):
    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, message: Write) -> None:
        self._lines.append(message.line)

    def flush(self, message: Flush) -> int:
        return len(self._lines)

    async def on_stop(self) -> None:
        print("the journal stops")


async def main() -> None:
    async with ActorSystem("demo") as system:
        journal = await system.spawn("journal", Journal)

        async def flush() -> None:
            print(await journal.ask(Flush(), timeout=5), "lines flushed")

        async def release() -> None:
            print("nothing runs any more")

        system.shutdown.add_task("before_stop", "flush", flush)  # all actors are alive
        system.shutdown.add_task("after_stop", "release", release)
        journal.tell(Write("done"))


if __name__ == "__main__":
    actors.run(main())
