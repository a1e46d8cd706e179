"""Ask again until it is known to be done; done twice, it counts once.

python retry.py
"""

import actors
from actors import Actor, ActorRef, ActorSystem, AskTimeout, Message, NotStarted


class Deposit(Message[int]):
    """Answered by the balance. The number is the sender's, the same each time it is sent."""

    number: int
    amount: int


class Account(Actor):
    def __init__(self) -> None:
        self._balance = 0
        self._done: dict[int, int] = {}  # number: what was answered
        self._slow = True

    async def deposit(self, message: Deposit) -> int:
        if message.number not in self._done:
            self._balance += message.amount
            self._done[message.number] = self._balance
        if self._slow:  # the first answer comes too late
            self._slow = False
            await self.clock.sleep(0.3)
        return self._done[message.number]


async def deposited(account: ActorRef[Account], message: Deposit, *, attempts: int) -> int:
    for attempt in range(1, attempts + 1):
        try:
            return await account.ask(message, timeout=0.2)
        except AskTimeout as error:  # it may have been done
            print(f"attempt {attempt}: {error}")
        except NotStarted as error:  # it was not, and may be next time
            print(f"attempt {attempt}: {error}")
            await account.system.world.clock.sleep(0.1 * 2**attempt)
    raise AskTimeout(f"deposit {message.number}: unknown after {attempts} attempts")


async def main() -> None:
    async with ActorSystem("demo") as system:
        account = await system.spawn("account", Account)
        print("balance:", await deposited(account, Deposit(1, 10), attempts=5))
        print("balance:", await deposited(account, Deposit(2, 5), attempts=5))


if __name__ == "__main__":
    actors.run(main())
