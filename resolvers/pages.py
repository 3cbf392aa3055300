"""From the pages of the services to those of the contract."""

from collections.abc import Awaitable, Callable

from db.media_lists import MediaCriteria, MediaOrder
from db.models import User
from schema.connections import MediaConnection, MediaEdge, PageInfo
from schema.types import Media
from services.library import Library, MediaPage
from services.pages import PageRequest
from services.tags import TagPage


async def media_connection(
    library: Library, viewer: User, criteria: MediaCriteria, order: MediaOrder, request: PageRequest
) -> MediaConnection:
    page = await library.page(viewer, criteria, order, request)
    return connection_of(page, lambda: library.count(viewer, criteria))


def connection_of(page: MediaPage, count: Callable[[], Awaitable[int]]) -> MediaConnection:
    nodes = [Media.of(row) for row in page.media]
    return MediaConnection(
        count=count,
        edges=[MediaEdge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
        nodes=nodes,
        page_info=page_info(page),
        live_cursor=page.live_cursor,
    )


def page_info(page: MediaPage | TagPage) -> PageInfo:
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursors[0] if page.cursors else None,
        end_cursor=page.cursors[-1] if page.cursors else None,
    )
