"""Every list begins with an index, whatever it is asked, and goes on at the cost of its first page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from bench.catalogue import (
    COMMON_TAG,
    COMMON_WORD,
    LINKS,
    MEDIA,
    ORDINARY_TAG,
    RARE_TAG,
    RARE_WORD,
    TAG_WORD,
    TAGS,
)
from db.media_lists import (
    MediaCriteria,
    MediaOrder,
    MediaScope,
    Place,
    Stretch,
    count_media,
    first_by_tag,
    page_media,
    place_of,
)
from db.models import Media, MediaKind, MediaStatus, User, Visibility
from db.tags import deleted_tags, page_tags, tagged_media, tags_by_slug
from tests.db.conftest import Catalogue
from tests.db.plans import MODES, Plan, plans_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

#: One more than a page of 20, to see whether there is more.
ROWS = 21
A_MOMENT = datetime(2026, 2, 10, 12, tzinfo=UTC)
LATE = datetime(2026, 3, 11, 10, 30, tzinfo=UTC)
OLDEST, NEWEST, CHANGED, NAMED, LARGEST = (
    MediaOrder.CREATED_AT_ASC,
    MediaOrder.CREATED_AT_DESC,
    MediaOrder.UPDATED_AT_DESC,
    MediaOrder.FILENAME_ASC,
    MediaOrder.SIZE_DESC,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list that somebody asks for: `buffers` is the most that a page of it may look at."""

    criteria: MediaCriteria = field(default_factory=MediaCriteria)
    order: MediaOrder = NEWEST
    owner: str = "large"
    backward: bool = False
    buffers: int = 300

    def call(
        self, catalogue: Catalogue, after: Place | None = None
    ) -> Callable[[AsyncSession], Awaitable[Sequence[Media]]]:
        viewer: User = getattr(catalogue, self.owner)
        stretch = Stretch(limit=ROWS, after=after, from_end=self.backward)
        return lambda session: page_media(session, viewer, self.criteria, self.order, stretch)


def of(**criteria: object) -> MediaCriteria:
    return MediaCriteria(
        **{name: frozenset(value) if isinstance(value, set) else value for name, value in criteria.items()}  # type: ignore[arg-type]
    )


PUBLIC, ALL = MediaScope.PUBLIC, MediaScope.ALL

#: The twelve representative queries.
TWELVE = {
    "the newest": Listed(),
    "the oldest, backward, of a small owner": Listed(order=OLDEST, backward=True, owner="small"),
    "the last changed of all owners": Listed(criteria=of(scope=ALL), order=CHANGED, owner="admin"),
    "public ones by name": Listed(criteria=of(scope=PUBLIC), order=NAMED, owner="small"),
    "the largest with a common tag": Listed(criteria=of(tags_all={COMMON_TAG}), order=LARGEST, buffers=1_000),
    "with two tags": Listed(criteria=of(tags_all={COMMON_TAG, ORDINARY_TAG}), buffers=2_000),
    "with one of two tags, by name": Listed(
        criteria=of(tags_any={ORDINARY_TAG, RARE_TAG}), order=NAMED, buffers=12_000
    ),
    "without a common tag": Listed(criteria=of(tags_none={COMMON_TAG}), buffers=1_000),
    "by a rare word": Listed(criteria=of(words=(RARE_WORD,))),
    "by two common words": Listed(criteria=of(words=(COMMON_WORD, "img")), buffers=3_000),
    "by metadata, in a range": Listed(
        criteria=of(metadata={"camera": {"maker": "Rolleiflex"}}, created_before=A_MOMENT), buffers=2_500
    ),
    "of two states and a kind": Listed(
        criteria=of(statuses={MediaStatus.PROCESSING, MediaStatus.FAILED}, kinds={MediaKind.VIDEO}),
        buffers=3_000,
    ),
}

MORE = {
    "the last of a list": Listed(backward=True),
    "the largest": Listed(order=LARGEST),
    "the last changed": Listed(order=CHANGED),
    "by name": Listed(order=NAMED),
    "the largest public ones": Listed(criteria=of(scope=PUBLIC), order=LARGEST, owner="small"),
    "with a common tag": Listed(criteria=of(tags_all={COMMON_TAG})),
    "with a rare tag": Listed(criteria=of(tags_all={RARE_TAG})),
    "with a rare tag by size": Listed(criteria=of(tags_all={RARE_TAG}), order=LARGEST),
    "with a common tag or a rare one": Listed(criteria=of(tags_any={COMMON_TAG, RARE_TAG}), buffers=1_500),
    "public ones with a common tag": Listed(
        criteria=of(scope=PUBLIC, tags_all={COMMON_TAG}), owner="small", buffers=1_500
    ),
    "all with a tag of many owners": Listed(
        criteria=of(scope=ALL, tags_all={ORDINARY_TAG}), owner="admin", buffers=20_000
    ),
    "by a common word": Listed(criteria=of(words=(COMMON_WORD,)), buffers=1_000),
    "by a word of a tag": Listed(criteria=of(words=(TAG_WORD,)), buffers=2_000),
    "by a common word and a rare one": Listed(criteria=of(words=(COMMON_WORD, RARE_WORD)), buffers=1_000),
    "by a word that nothing has": Listed(criteria=of(words=("xylophone",))),
    "public ones by a common word": Listed(
        criteria=of(scope=PUBLIC, words=(COMMON_WORD,)), owner="small", buffers=2_000
    ),
    "all by a common word": Listed(
        criteria=of(scope=ALL, words=(COMMON_WORD,)), owner="admin", buffers=1_000
    ),
    "created before a moment": Listed(criteria=of(created_before=A_MOMENT)),
    "with a common tag before a moment": Listed(
        criteria=of(tags_all={COMMON_TAG}, created_before=A_MOMENT), buffers=1_000
    ),
    "those that are ready": Listed(criteria=of(statuses={MediaStatus.READY})),
    "those of a rare kind": Listed(criteria=of(kinds={MediaKind.OTHER})),
    "what is public of the owner's": Listed(criteria=of(visibility=Visibility.PUBLIC), buffers=1_000),
    "of a small owner with a tag": Listed(criteria=of(tags_all={"tag-040"}), owner="small"),
}


#: Few media of a list in an order that has no index for them: it may go through all of the owner's.
WALKED = {
    "a rare kind by name": Listed(criteria=of(kinds={MediaKind.OTHER}), order=NAMED),
    "a rare kind of a rare state by name": Listed(
        criteria=of(kinds={MediaKind.OTHER}, statuses={MediaStatus.FAILED}), order=NAMED
    ),
    "the last minutes by size": Listed(criteria=of(created_after=LATE), order=LARGEST),
    "the last minutes by name": Listed(criteria=of(created_after=LATE), order=NAMED),
}

#: `buffers` of the total.
COUNTED = {
    "all of one owner": Listed(buffers=5_000),
    "all of a small owner": Listed(owner="small", buffers=20),
    "all that are public": Listed(criteria=of(scope=PUBLIC), owner="small"),
    "all": Listed(criteria=of(scope=ALL), owner="admin", buffers=5_000),
    "a rare kind": Listed(criteria=of(kinds={MediaKind.OTHER}), buffers=50),
    "a rare tag": Listed(criteria=of(tags_all={RARE_TAG}), buffers=1_000),
    "a common tag": Listed(criteria=of(tags_all={COMMON_TAG}), buffers=150_000),
    "two tags": Listed(criteria=of(tags_all={COMMON_TAG, ORDINARY_TAG}), buffers=500_000),
    "a rare word": Listed(criteria=of(words=(RARE_WORD,)), buffers=1_000),
    "a common word": Listed(criteria=of(words=(COMMON_WORD,)), buffers=200_000),
    "two common words": Listed(criteria=of(words=(COMMON_WORD, "img")), buffers=200_000),
    "a word that nothing has": Listed(criteria=of(words=("xylophone",)), buffers=50),
    "a common word in what is public": Listed(
        criteria=of(scope=PUBLIC, words=(COMMON_WORD,)), owner="small", buffers=5_000
    ),
}


def assert_indexed(plans: Sequence[Plan]) -> None:
    assert plans
    for plan in plans:
        assert "media" not in plan.scanned_whole
        assert plan.indexes or plan.scanned_whole == {"tags"}  # 200 tags are five pages
    assert plans[-1].indexes


async def test_the_catalogue_is_as_large_as_it_says(catalogue: Catalogue) -> None:
    async with catalogue.sessions() as session:
        connection = await session.connection()
        counts = (
            "SELECT (SELECT count(*) FROM media), (SELECT count(*) FROM tags),"
            " (SELECT count(*) FROM media_tags), (SELECT sum(media_count) FROM tags)"
        )
        assert tuple((await connection.execute(text(counts))).one()) == (MEDIA, TAGS, LINKS, LINKS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*TWELVE, *MORE])
async def test_a_list_uses_an_index_and_no_scan_of_all_media(
    catalogue: Catalogue, name: str, mode: str
) -> None:
    listed = (TWELVE | MORE)[name]
    plans = await plans_of(catalogue.sessions, listed.call(catalogue), mode)
    assert_indexed(plans)
    assert plans[-1].buffers <= listed.buffers


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WALKED)
async def test_few_media_in_another_order_cost_each_media_of_the_owner_once_at_most(
    catalogue: Catalogue, name: str, mode: str
) -> None:
    [plan] = await plans_of(catalogue.sessions, WALKED[name].call(catalogue), mode)
    assert_indexed([plan])
    assert plan.rows_examined <= MEDIA * 4 / 5
    assert plan.buffers <= MEDIA


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", COUNTED)
async def test_a_total_reads_no_media_twice(catalogue: Catalogue, name: str, mode: str) -> None:
    listed = COUNTED[name]
    viewer: User = getattr(catalogue, listed.owner)
    [plan] = await plans_of(
        catalogue.sessions, lambda session: count_media(session, viewer, listed.criteria), mode
    )
    assert plan.rows_examined <= MEDIA
    assert plan.buffers <= listed.buffers


@asynccontextmanager
async def many_tags(catalogue: Catalogue) -> AsyncIterator[None]:
    """20,000 more, of an owner of no media."""
    async with catalogue.sessions.begin() as session:
        connection = await session.connection()
        await connection.execute(
            text("INSERT INTO users VALUES (md5('tagger')::uuid, 'tagger', 'EDITOR', now())")
        )
        await connection.execute(
            text("""INSERT INTO tags (id, owner_id, name, slug, created_at)
                    SELECT md5('more' || n)::uuid, md5('tagger')::uuid, slug, slug, now()
                    FROM (SELECT n, 'subject-' || n AS slug FROM generate_series(1, 20000) AS n) AS named""")
        )
    await _vacuum_tags(catalogue)
    yield
    async with catalogue.sessions.begin() as session:
        connection = await session.connection()
        await connection.execute(text("DELETE FROM tags WHERE owner_id = md5('tagger')::uuid"))
        await connection.execute(text("DELETE FROM users WHERE username = 'tagger'"))
    await _vacuum_tags(catalogue)


async def _vacuum_tags(catalogue: Catalogue) -> None:
    async with catalogue.sessions() as session:
        connection = await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        await connection.execute(text("VACUUM ANALYZE tags"))


async def test_of_many_tags_only_those_that_are_meant_are_read(catalogue: Catalogue) -> None:
    """By the words of a search in what is public, and by being deleted."""
    searched = Listed(criteria=of(scope=PUBLIC, words=(TAG_WORD,)), owner="small")

    async def deleted(session: AsyncSession) -> object:
        return await deleted_tags(session, before=A_MOMENT, limit=100)

    async with many_tags(catalogue):
        for mode in MODES:
            numbers, page = await plans_of(catalogue.sessions, searched.call(catalogue), mode)
            assert "tags_words" in numbers.indexes
            assert numbers.scanned_whole | page.scanned_whole == set()
            assert numbers.buffers <= 50
            [plan] = await plans_of(catalogue.sessions, deleted, mode)
            assert plan.indexes == {"tags_deleted"}
            assert plan.buffers <= 5


@pytest.mark.parametrize("mode", MODES)
async def test_a_batch_of_a_deleted_tag_is_one_stretch_of_its_links(catalogue: Catalogue, mode: str) -> None:
    [common] = await _tag_ids(catalogue, COMMON_TAG)
    [plan] = await plans_of(
        catalogue.sessions, lambda session: tagged_media(session, common, limit=501), mode
    )
    assert plan.indexes == {"media_tags_tag_created"}
    assert plan.buffers <= 20


@pytest.mark.parametrize("mode", MODES)
async def test_named_media_are_fetched_by_their_ids(catalogue: Catalogue, mode: str) -> None:
    """The oldest: going through the list would meet them last."""
    async with catalogue.sessions() as session:
        oldest = await Listed(order=OLDEST).call(catalogue)(session)
    listed = Listed(criteria=of(media_ids={media.id for media in oldest}))
    [plan] = await plans_of(catalogue.sessions, listed.call(catalogue), mode)
    assert_indexed([plan])
    assert plan.buffers <= 300


#: Lists of 20,000 and more; how deep a page may go is 1.2 times the first one's cost.
DEEP = {
    "all of one owner": Listed(),
    "the oldest first": Listed(order=OLDEST),
    "by name": Listed(order=NAMED),
    "by size": Listed(order=LARGEST),
    "the last changed": Listed(order=CHANGED),
    "all owners": Listed(criteria=of(scope=ALL), owner="admin"),
    "with a common tag": Listed(criteria=of(tags_all={COMMON_TAG})),
    "with a common tag, the oldest first": Listed(criteria=of(tags_all={COMMON_TAG}), order=OLDEST),
    "of one status": Listed(criteria=of(statuses={MediaStatus.READY})),
    "by a common word": Listed(criteria=of(words=(COMMON_WORD,))),
}
PAGE = 20


@pytest.mark.parametrize("name", DEEP)
async def test_page_1000_costs_what_page_1_does(catalogue: Catalogue, name: str) -> None:
    """Counted, not timed: pages of tables and indexes, and rows of media, for all statements of a page.

    Neighbours in a list lie beside each other in the table or not, by chance: five pages even it out.
    """
    listed = DEEP[name]
    near, far = await _places(catalogue, listed, 0), await _places(catalogue, listed, 999 * PAGE)
    for mode in MODES:
        first, deep = [await _plans(catalogue, listed, places, mode) for places in (near, far)]
        assert sum(plan.buffers for plan in deep) <= 1.2 * sum(plan.buffers for plan in first)
        assert sum(plan.rows_examined for plan in deep) <= 1.2 * sum(plan.rows_examined for plan in first)


async def _plans(
    catalogue: Catalogue, listed: Listed, places: Sequence[Place | None], mode: str
) -> list[Plan]:
    plans: list[Plan] = []
    for after in places:
        plans += await plans_of(catalogue.sessions, listed.call(catalogue, after), mode)
    return plans


async def _places(catalogue: Catalogue, listed: Listed, skip: int) -> list[Place | None]:
    """Where five pages begin, the first of them after `skip` rows."""
    stretch = Stretch(limit=skip + 5 * PAGE)
    async with catalogue.sessions() as session:
        viewer: User = getattr(catalogue, listed.owner)
        rows = await page_media(session, viewer, listed.criteria, listed.order, stretch)
    assert len(rows) == skip + 5 * PAGE
    starts = range(skip, len(rows), PAGE)
    return [place_of(rows[start - 1], listed.order) if start else None for start in starts]


Call = Callable[[AsyncSession], Awaitable[object]]


def _first_media(viewer: User, tag_ids: Sequence[UUID], limit: int) -> Call:
    async def call(session: AsyncSession) -> object:
        return await first_by_tag(session, viewer, tag_ids, limit)

    return call


def _tag(owner: User, slug: str) -> Call:
    async def call(session: AsyncSession) -> object:
        return await tags_by_slug(session, owner.id, [slug])

    return call


async def _tag_ids(catalogue: Catalogue, *slugs: str) -> list[UUID]:
    async with catalogue.sessions() as session:
        tags = {tag.slug: tag for tag in await tags_by_slug(session, catalogue.large.id, slugs)}
    return [tags[slug].id for slug in slugs]


@pytest.mark.parametrize("mode", MODES)
async def test_the_first_media_of_a_tag_cost_the_same_for_3_links_and_30000(
    catalogue: Catalogue, mode: str
) -> None:
    rare, common = await _tag_ids(catalogue, RARE_TAG, COMMON_TAG)
    costs = {}
    for tag_id in (rare, common):
        [plan] = await plans_of(catalogue.sessions, _first_media(catalogue.large, [tag_id], 3), mode)
        assert_indexed([plan])
        assert plan.rows_examined == 3
        costs[tag_id] = plan.buffers
    assert costs[common] <= costs[rare] + 3  # an index one level deeper


@pytest.mark.parametrize("mode", MODES)
async def test_the_media_of_20_tags_are_one_statement_that_reads_no_others(
    catalogue: Catalogue, mode: str
) -> None:
    async with catalogue.sessions() as session:
        tags = await page_tags(session, catalogue.large.id, search=None, after=None, limit=20)
    wanted = _first_media(catalogue.large, [tag.id for tag in tags], 6)
    [plan] = await plans_of(catalogue.sessions, wanted, mode)
    assert_indexed([plan])
    assert plan.rows_examined <= 20 * 6


async def test_the_count_of_a_tag_is_a_column(catalogue: Catalogue) -> None:
    """Reading it meets no link, for 3 of them and for 30,000."""
    counts, costs = [], set()
    for slug in (RARE_TAG, COMMON_TAG):
        async with catalogue.sessions() as session:
            counts += [tag.media_count for tag in await tags_by_slug(session, catalogue.large.id, [slug])]
        [plan] = await plans_of(catalogue.sessions, _tag(catalogue.large, slug))
        assert {node.get("Relation Name", "tags") for node in plan.nodes} == {"tags"}
        costs.add(plan.buffers)
    assert counts == [3, 30_000]
    assert len(costs) == 1
