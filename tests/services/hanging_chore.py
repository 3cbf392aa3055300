"""A process that takes a chore and never ends it: `python -m tests.services.hanging_chore URL`."""

import asyncio
import sys

from app.schedules import doing_chores
from services.housekeeping import Chore
from tests.services.ticks import EVERY_THREE_SECONDS, NAME


async def hang() -> int:
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.sleep(3600)
    return 0


async def main(database_url: str) -> None:
    async with doing_chores(database_url, [Chore(name=NAME, due=EVERY_THREE_SECONDS, work=hang)]):
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
