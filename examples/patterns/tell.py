"""Tell and forget: readings of a sensor, of which one may be lost.

python tell.py
"""

import actors
from actors import Actor, ActorRef, ActorSystem, DeadLetter, Message


class Reading(Message[None]):
    celsius: float


class Mean(Message[float]):
    pass


class Room(Actor):
    def __init__(self) -> None:
        self._readings: list[float] = []

    def reading(self, message: Reading) -> None:
        self._readings.append(message.celsius)

    def mean(self, message: Mean) -> float:
        return sum(self._readings) / len(self._readings)


class Measure(Message[None]):
    values: list[float]


class Sensor(Actor):
    def __init__(self, room: ActorRef[Room]) -> None:
        self._room = room

    def measure(self, message: Measure) -> None:
        for value in message.values:
            self._room.tell(Reading(value))  # returns at once


async def main() -> None:
    async with ActorSystem("demo") as system:
        room = await system.spawn("room", Room)
        sensor = await system.spawn("sensor", Sensor, room=room)
        await sensor.ask(Measure([19.0, 21.0, 23.0]), timeout=5)
        print(await room.ask(Mean(), timeout=5))

        system.events.subscribe(DeadLetter, lambda event: print(event.message, event.reason))
        await system.stop(room)
        room.tell(Reading(20.0))
        await sensor.ask(Measure([]), timeout=5)


if __name__ == "__main__":
    actors.run(main())
