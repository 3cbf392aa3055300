"""A chore that counts how often, when and by whom it is done."""

import asyncio
import time
from dataclasses import dataclass, field

from services.housekeeping import Chore

NAME = "counting"

#: With seconds, as the schedules' cron has them at its end: nobody waits for minutes.
EVERY_THREE_SECONDS = "* * * * * */3"
PERIOD = 3
HOURLY = "0 * * * *"


@dataclass(slots=True)
class Counter:
    due: str = EVERY_THREE_SECONDS
    #: How long one run takes.
    seconds: float = 0.0
    #: The tick at or after which each run began, and who did it.
    runs: list[tuple[int, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def chore(self, worker: str) -> Chore:
        async def work() -> int:
            self.runs.append((int(time.time()) // PERIOD * PERIOD, worker))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await asyncio.sleep(self.seconds)
            finally:
                self.at_once -= 1
            return 0

        return Chore(name=NAME, due=self.due, work=work)

    async def reaches(self, count: int, *, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while len(self.runs) < count:  # noqa: ASYNC110 - it counts and tells nobody
                await asyncio.sleep(0.01)
