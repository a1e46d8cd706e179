"""What a node tells itself is handled and answered in few turns of its loop, and others get theirs."""

from __future__ import annotations

import asyncio

from actors import Actor, ActorRef, ActorSystem, Message

pytest_plugins = ["actors.testing.pytest_plugin"]

TURNS = 200


class Question(Message[int]):
    pass


class Ball(Message[None]):
    back: ActorRef


class Player(Actor):
    """Sends each ball back to where it came from, without end."""

    def __init__(self) -> None:
        self.balls = 0
        self.keeps = False

    def question(self, message: Question) -> int:
        self.keeps = True
        return self.balls

    def ball(self, message: Ball) -> None:
        self.balls += 1
        if not self.keeps:
            message.back.tell(Ball(self.ref))


async def turns_until(task: asyncio.Task[int]) -> int:
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_an_ask_of_an_idle_actor_is_handled_and_answered_in_one_turn() -> None:
    async with ActorSystem("turns") as system:
        ref = await system.spawn("player", Player)
        await ref.ask(Question(), timeout=60)
        asking = asyncio.create_task(ref.ask(Question(), timeout=60))
        # It is sent in the first, handled and answered in the second, and told so in the third.
        assert await turns_until(asking) <= 3
        assert await asking == 0


async def test_actors_that_tell_each_other_without_end_leave_turns_to_others() -> None:
    async with ActorSystem("turns") as system:
        one, two = [await system.spawn(name, Player) for name in ("one", "two")]
        one.tell(Ball(two))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        balls = await one.ask(Question(), timeout=60) + await two.ask(Question(), timeout=60)
        assert TURNS / 2 < balls < 3 * TURNS
