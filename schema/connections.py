"""Pages: Relay connections over keyset cursors."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import strawberry

from schema.types import Media, Tag

First = Annotated[
    int | None, strawberry.argument(description="How many at most, from 1 to 100; 20 by default.")
]
After = Annotated[
    str | None,
    strawberry.argument(description="The cursor after which the page begins, of the same filter and order."),
]


Last = Annotated[
    int | None,
    strawberry.argument(description="How many at most, from 1 to 100, counted from the end; not with first."),
]
Before = Annotated[
    str | None,
    strawberry.argument(description="The cursor before which the page ends, of the same filter and order."),
]


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(
        description="Whether more follows: counted with first; with last, whether a cursor was given."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether more comes before: counted with last; with first, whether a cursor was given."
    )
    start_cursor: str | None = strawberry.field(description="The first edge's cursor: pass it as `before`.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor: pass it as `after`.")


@strawberry.type(description="A media in a page.")
class MediaEdge:
    cursor: str = strawberry.field(description="Marks this place in the list.")
    node: Media = strawberry.field(description="The media.")


@strawberry.type(description="A page of media.")
class MediaConnection:
    count: strawberry.Private[Callable[[], Awaitable[int]]]
    edges: list[MediaEdge] = strawberry.field(description="The media with their cursors.")
    nodes: list[Media] = strawberry.field(description="The media alone.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in the list.")
    live_cursor: str = strawberry.field(
        description="Taken before the rows: pass it to `mediaEvents(after:)` and no change of them is missed."
    )

    @strawberry.field(description="How many the filter matches in all; costs a count, only when asked for.")
    async def total_count(self) -> int | None:
        return await self.count()


@strawberry.type(description="A tag in a page.")
class TagEdge:
    cursor: str = strawberry.field(description="Marks this place in the list.")
    node: Tag = strawberry.field(description="The tag.")


@strawberry.type(description="A page of tags.")
class TagConnection:
    count: strawberry.Private[Callable[[], Awaitable[int]]]
    edges: list[TagEdge] = strawberry.field(description="The tags with their cursors.")
    nodes: list[Tag] = strawberry.field(description="The tags alone.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in the list.")

    @strawberry.field(description="How many there are in all; costs a count, only when asked for.")
    async def total_count(self) -> int | None:
        return await self.count()
