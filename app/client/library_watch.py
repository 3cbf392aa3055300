"""Every change of the library, through cut connections and restarts, each once and in order."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from app.client.answers import listed_media
from app.client.errors import UnreachableError
from app.client.library_api import LISTED
from app.client.media import ListedMedia, Status
from app.client.selection import Selection
from app.client.subscription import MUTE_STREAMS, PAUSE_SECONDS, Line, StreamBrokenError, Subscriber

_MEDIA_EVENTS = f"""
  subscription MediaEvents($filter: MediaEventFilter, $after: String) {{
    mediaEvents(filter: $filter, after: $after) {{
      cursor type mediaId version status previousStatus matches occurredAt media {{ {LISTED} }}
    }}
  }}"""

#: A stream that held so long was a good one, though nothing happened meanwhile.
_STEADY_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEvent:
    """`media` is as it is now; `matches` is False when it has just left the selection, or is gone.

    CURSOR (the stream has begun) and RESYNC (read the list again) concern no media.
    """

    cursor: str
    type: str
    media_id: str | None
    version: int | None
    status: Status | None
    previous_status: Status | None
    matches: bool
    occurred_at: str
    media: ListedMedia | None


async def follow_library(
    subscriber: Subscriber, selection: Selection, line: Line, *, after: str | None = None
) -> AsyncGenerator[LibraryEvent]:
    """Never ends by itself: raises ServiceError, and UnreachableError when patience ends."""
    cursor, mute = after, 0
    while mute < MUTE_STREAMS:
        began_at = time.monotonic()
        stream = subscriber.events(_MEDIA_EVENTS, {"filter": selection.filter(), "after": cursor}, line)
        try:
            async with aclosing(stream) as answers:
                async for answer in answers:
                    event = _event(answer["mediaEvents"])
                    cursor, mute = event.cursor, 0
                    yield event
        except StreamBrokenError:
            pass  # it is taken up again just as one that the service completed when it went down
        line.tell(False)
        mute = 0 if time.monotonic() - began_at > _STEADY_SECONDS else mute + 1
        await asyncio.sleep(PAUSE_SECONDS)
    raise UnreachableError("The stream of the changes breaks again and again.")


def _event(answer: Mapping[str, Any]) -> LibraryEvent:
    status, previous, media = answer["status"], answer["previousStatus"], answer["media"]
    return LibraryEvent(
        cursor=answer["cursor"],
        type=answer["type"],
        media_id=answer["mediaId"],
        version=answer["version"],
        status=Status(status) if status else None,
        previous_status=Status(previous) if previous else None,
        matches=answer["matches"],
        occurred_at=answer["occurredAt"],
        media=listed_media(media) if media else None,
    )
