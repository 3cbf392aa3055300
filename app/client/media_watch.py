"""The live status of one media, through cut connections and restarts of the service, each transition once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from app.client.errors import ServiceError, UnreachableError
from app.client.media import Status
from app.client.subscription import (
    MUTE_STREAMS,
    PAUSE_SECONDS,
    Line,
    StreamBrokenError,
    Subscriber,
    open_subscriber,
)
from app.client.upload_api import UploadApi

_MEDIA_STATUS = """
  subscription MediaStatus($id: ID!, $after: String) {
    mediaStatus(id: $id, after: $after) { cursor type version status }
  }"""

#: Without a word for so long: longer than a long queue takes.
_SILENCE_SECONDS = 3600.0


@asynccontextmanager
async def open_watcher(api: UploadApi) -> AsyncIterator["Watcher"]:
    async with open_subscriber(api) as subscriber:
        yield Watcher(api, subscriber)


class Watcher:
    def __init__(self, api: UploadApi, subscriber: Subscriber) -> None:
        self._api = api
        self._subscriber = subscriber

    async def follow(self, media_id: str, connection: Callable[[bool], None]) -> AsyncGenerator[Status]:
        """Each status once and in order, up to and including READY or FAILED.

        `connection` is called with False when the connection broke, with True when it is there again.
        Raises ServiceError, also for a media that was deleted, and UnreachableError when patience ends.
        """
        line = Line(connection)
        cursor: str | None = None
        version, status, mute = 0, None, 0
        while mute < MUTE_STREAMS:
            variables = {"id": media_id, "after": cursor}
            stream = self._subscriber.events(_MEDIA_STATUS, variables, line, silence=_SILENCE_SECONDS)
            try:
                async with aclosing(stream) as answers:
                    async for answer in answers:
                        event = answer["mediaStatus"]
                        mute = 0
                        if event["type"] == "RESYNC":
                            # The present state follows; it is all there is, so it must not be missed.
                            cursor, version = None, 0
                            continue
                        cursor = event["cursor"]
                        if event["type"] == "DELETED":
                            raise _deleted()
                        if event["version"] <= version or Status(event["status"]) is status:
                            continue
                        version, status = event["version"], Status(event["status"])
                        yield status
                        if status.ended:
                            return
                await self._check_existence(media_id)
            except StreamBrokenError:
                line.tell(False)
            mute += 1
            await asyncio.sleep(PAUSE_SECONDS)
        raise UnreachableError("The stream of the live status breaks again and again.")

    async def _check_existence(self, media_id: str) -> None:
        """A stream that completed before the end: the media was deleted, or the service is going down."""
        if await self._api.media(media_id) is None:
            raise _deleted()


def _deleted() -> ServiceError:
    return ServiceError("The media was deleted before it was ready.")
