"""Page 1,000 of a list against page 1, in a catalogue of 100,000 media."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import select

from bench.catalogue import COMMON_TAG, COMMON_WORD, fill
from bench.report import Result, ratios, spread
from bench.service import Installation
from db.media_lists import MediaCriteria, MediaOrder, Place, Stretch, page_media, place_of
from db.models import MediaStatus, User
from db.sessions import Sessions, create_engine, create_sessions

PAGE = 20
DEEP = 999 * PAGE

#: A sample is the mean of so many pages in a row: short, so that a busy moment meets both sides.
REPEATS, WARM_UP = 10, 20

LISTS = {
    "all of one owner, the newest first": (MediaCriteria(), MediaOrder.CREATED_AT_DESC),
    "by filename": (MediaCriteria(), MediaOrder.FILENAME_ASC),
    "by size": (MediaCriteria(), MediaOrder.SIZE_DESC),
    "with a tag of 30,000": (
        MediaCriteria(tags_all=frozenset({COMMON_TAG})),
        MediaOrder.CREATED_AT_DESC,
    ),
    "of one status": (
        MediaCriteria(statuses=frozenset({MediaStatus.READY})),
        MediaOrder.CREATED_AT_DESC,
    ),
    "by a word of every second": (MediaCriteria(words=(COMMON_WORD,)), MediaOrder.CREATED_AT_DESC),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    sessions: Sessions
    viewer: User
    criteria: MediaCriteria
    order: MediaOrder

    async def place_after(self, rows: int) -> Place:
        async with self.sessions() as session:
            media = await page_media(session, self.viewer, self.criteria, self.order, Stretch(limit=rows))
        return place_of(media[rows - 1], self.order)

    async def milliseconds(self, after: Place | None, repeats: int = REPEATS) -> float:
        """The mean of one page: its statements, and the rows that become objects."""
        began = time.perf_counter()
        for _ in range(repeats):
            async with self.sessions() as session:
                stretch = Stretch(limit=PAGE + 1, after=after)
                rows = await page_media(session, self.viewer, self.criteria, self.order, stretch)
        if len(rows) != PAGE + 1:
            raise RuntimeError("The list is too short for a page 1,000.")
        return (time.perf_counter() - began) * 1000 / repeats


async def measure(home: Installation, *, rounds: int) -> Result:
    owners = await fill(home.dsn)
    engine = create_engine(home.database_url)
    sessions = create_sessions(engine)
    try:
        async with sessions() as session:
            viewer = (await session.exec(select(User).where(User.id == owners.large))).one()
        samples: dict[str, Sequence[float]] = {}
        for name, (criteria, order) in LISTS.items():
            listed = _List(sessions=sessions, viewer=viewer, criteria=criteria, order=order)
            samples |= await _compare(name, listed, rounds)
    finally:
        await engine.dispose()
    rows = [
        [
            name,
            spread(samples[f"{name}.first"], 2),
            spread(samples[f"{name}.deep"], 2),
            spread(samples[f"{name}.ratio"], 2),
        ]
        for name in LISTS
    ]
    return Result(
        title="pages: page 1,000 against page 1",
        method=f"100,000 media, 200 tags, 300,000 links; pages of {PAGE} of the owner of 80,000, in process: "
        f"the statements and the objects made of the rows. {rounds} rounds, in each both pages {REPEATS} "
        "times, in turn.",
        columns=("list", "page 1, ms", "page 1,000, ms", "page 1,000 / page 1"),
        rows=rows,
        samples=samples,
    )


async def _compare(name: str, listed: _List, rounds: int) -> dict[str, Sequence[float]]:
    deep = await listed.place_after(DEEP)
    for after in (None, deep):
        await listed.milliseconds(after, WARM_UP)
    first_ms, deep_ms = [], []
    for _ in range(rounds):
        first_ms.append(await listed.milliseconds(None))
        deep_ms.append(await listed.milliseconds(deep))
    return {
        f"{name}.first": first_ms,
        f"{name}.deep": deep_ms,
        f"{name}.ratio": ratios(deep_ms, first_ms),
    }
