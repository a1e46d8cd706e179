"""Two actors' worth of actorfl: a message that names its reply, and an actor that answers it."""

import actors
from actors import Actor, ActorSystem, Message


class Greet(Message[str]):
    name: str


class Greeter(Actor):
    async def greet(self, message: Greet) -> str:
        return f"hello {message.name}"


async def main() -> None:
    async with ActorSystem("demo") as system:
        greeter = await system.spawn("greeter", Greeter)
        print(await greeter.ask(Greet("world"), timeout=1))


if __name__ == "__main__":
    actors.run(main())  # uvloop where there is one
