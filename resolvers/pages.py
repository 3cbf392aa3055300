"""From the pages of the services to those of the contract."""

from schema.connections import PageInfo
from services.library import MediaPage
from services.tags import TagPage


def page_info(page: MediaPage | TagPage) -> PageInfo:
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursors[0] if page.cursors else None,
        end_cursor=page.cursors[-1] if page.cursors else None,
    )
