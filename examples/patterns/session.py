"""A child for each request that takes several steps, with the state of that request alone.

python session.py
"""

import asyncio

import actors
from actors import Actor, ActorRef, ActorSystem, AskError, Message


class Flight(Message[str]):
    to: str


class Hotel(Message[str]):
    to: str


class Airline(Actor):
    async def flight(self, message: Flight) -> str:
        await asyncio.sleep(0.05)
        return f"flight to {message.to}"


class Hotels(Actor):
    async def hotel(self, message: Hotel) -> str:
        await asyncio.sleep(0.05)
        return f"hotel in {message.to}"


class Book(Message[None]):
    to: str
    reply_to: ActorRef


class Booked(Message[None]):
    journey: str


class NotBooked(Message[None]):
    why: str


class Booking(Actor):
    """One journey: asks both, tells the customer once, and is gone."""

    def __init__(self, airline: ActorRef[Airline], hotels: ActorRef[Hotels]) -> None:
        self._airline, self._hotels = airline, hotels

    async def book(self, message: Book) -> None:
        self.stop()  # after this message
        try:
            parts = await asyncio.gather(
                self._airline.ask(Flight(message.to), timeout=5),
                self._hotels.ask(Hotel(message.to), timeout=5),
            )
        except AskError as error:
            message.reply_to.tell(NotBooked(f"{message.to}: {error}"))
        else:
            message.reply_to.tell(Booked(" and ".join(parts)))


class Agency(Actor):
    """Takes the next request at once, however long a booking takes."""

    def __init__(self, airline: ActorRef[Airline], hotels: ActorRef[Hotels]) -> None:
        self._airline, self._hotels = airline, hotels
        self._bookings = 0

    async def book(self, message: Book) -> None:
        self._bookings += 1
        booking = await self.spawn(
            f"booking{self._bookings}", Booking, airline=self._airline, hotels=self._hotels
        )
        booking.tell(message)


class Journeys(Message[list[str]]):
    """Answered when so many are booked."""

    count: int


class Customer(Actor):
    def __init__(self, agency: ActorRef[Agency]) -> None:
        self._journeys: list[str] = []
        for to in ("Rome", "Oslo"):
            agency.tell(Book(to, self.ref))

    def booked(self, message: Booked) -> None:
        self._journeys.append(message.journey)
        self.stash.unstash_all()

    def not_booked(self, message: NotBooked) -> None:
        self._journeys.append(message.why)
        self.stash.unstash_all()

    def journeys(self, message: Journeys) -> list[str]:
        if len(self._journeys) < message.count:
            return self.stash.stash(message)
        return sorted(self._journeys)


async def main() -> None:
    async with ActorSystem("demo") as system:
        airline = await system.spawn("airline", Airline)
        hotels = await system.spawn("hotels", Hotels)
        agency = await system.spawn("agency", Agency, airline=airline, hotels=hotels)
        customer = await system.spawn("customer", Customer, agency=agency)
        for journey in await customer.ask(Journeys(2), timeout=5):
            print(journey)


if __name__ == "__main__":
    actors.run(main())
