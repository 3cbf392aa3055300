"""A library that goes on changing while somebody looks at it, and what its log says of that."""

import asyncio
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from app.secret import installation_secret
from services.cursors import LiveCursors
from tests import pictures
from tests.service.client import Client
from tests.service.service import Service

#: A media with this tag is not in the list that is looked at.
HIDDEN = "hidden"

FILTER = {"tags": {"none": [HIDDEN]}}
OTHER_FILTER = {"tags": {"any": [HIDDEN]}}

PICTURE = pictures.png(64, 48)
BROKEN = pictures.cut(pictures.png(64, 48))

SETTLE_SECONDS = 45

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Library:
    service: Service
    client: Client
    #: The media that are there before anybody looks, the oldest first.
    first: list[str] = field(default_factory=list)

    async def fill(self) -> None:
        """Eight media: the last are still being processed, one is hidden and one awaits its bytes."""
        for number in range(6):
            self.first.append(await self.client.upload(PICTURE, f"first-{number}"))
        self.first.append(await self.client.upload(PICTURE, "first-hidden", tags=[HIDDEN]))
        self.first.append((await self.client.request_upload(PICTURE, "first-waiting")).media_id)

    async def change_while_it_is_read(self) -> None:
        """Of what later pages show, and a new one before the first page."""
        await self.retitle(self.first[1], "Changed between two pages")
        await self.delete(self.first[2])
        await self.client.upload(PICTURE, "between-pages")

    async def change_before_it_is_followed(self) -> None:
        """Everything here falls between the list and its stream."""
        await self.retitle(self.first[0], "Changed before the stream")
        await self.hide(self.first[3])
        await self.show(self.first[6])
        await self.delete(self.first[4])
        await self.client.ends(await self.client.upload(PICTURE, "before-the-stream"))
        await self.delete(await self.client.upload(PICTURE, "came-and-went"))

    async def change_while_it_is_followed(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(self.client.upload(PICTURE, f"live-{number}", tags=[f"live {number}"]))
            tasks.create_task(self.client.upload(BROKEN, "broken"))
            tasks.create_task(self.client.upload(PICTURE, "live-hidden", tags=[HIDDEN]))
            tasks.create_task(self.abort_one())
            tasks.create_task(self.retitle(self.first[0], "Changed during the stream"))
            tasks.create_task(self.show(self.first[3]))
            tasks.create_task(self.hide(self.first[6]))
            tasks.create_task(self.delete(self.first[5]))
            tasks.create_task(self.delete(self.first[7]))

    async def settle(self) -> Told:
        """Wait until every media is READY or FAILED, and change one last thing: which, and its version."""
        busy = "SELECT count(*) AS number FROM media WHERE status NOT IN ('READY', 'FAILED')"
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                if not await self._number(busy):
                    break
                await asyncio.sleep(0.05)
        return {"mediaId": self.first[0], "version": await self.retitle(self.first[0], "The last change")}

    async def retitle(self, media_id: str, title: str) -> int:
        """The version that this made."""
        answer = await self.client.ask(
            "mutation ($input: UpdateMediaInput!) { updateMedia(input: $input) { media { version } } }",
            input={"id": media_id, "title": title},
        )
        version: int = answer["updateMedia"]["media"]["version"]
        return version

    async def hide(self, media_id: str) -> None:
        await self._tag("tagMedia", media_id)

    async def show(self, media_id: str) -> None:
        await self._tag("untagMedia", media_id)

    async def delete(self, media_id: str) -> None:
        answer = await self.client.ask(
            "mutation ($id: ID!) { deleteMedia(id: $id) { deletedId } }", id=media_id
        )
        assert answer["deleteMedia"]["deletedId"] == media_id

    async def abort_one(self) -> None:
        requested = await self.client.request_upload(PICTURE, "given-up")
        answer = await self.client.ask(
            "mutation ($id: ID!) { abortUpload(uploadId: $id) { upload { status } } }", id=requested.upload_id
        )
        assert answer["abortUpload"]["upload"]["status"] == "ABORTED"

    async def _tag(self, mutation: str, media_id: str) -> None:
        answer = await self.client.ask(
            f"mutation ($ids: [ID!]!, $tags: [String!]!) {{ {mutation}(mediaIds: $ids, tags: $tags) "
            "{ userErrors { message } } }",
            ids=[media_id],
            tags=[HIDDEN],
        )
        assert answer[mutation] == [{"userErrors": []}]

    async def end_of_log(self) -> int:
        """The last position; the lines of all changes so far have theirs when somebody has followed them."""
        return await self._number("SELECT coalesce(max(position), 0) AS number FROM media_events")

    async def position_of(self, cursor: str) -> int:
        [log] = await self.service.fetch("SELECT epoch FROM event_log")
        cursors = LiveCursors(installation_secret(self.service.data_dir))
        place = cursors.decode(cursor, epoch=log["epoch"])
        assert place is not None
        return place.position

    async def log_after(self, position: int) -> list[Told]:
        """What the log has to tell to whoever follows the filtered list from there."""
        lines = await self.service.fetch(
            "SELECT * FROM media_events WHERE position > $1 ORDER BY position", position
        )
        return [_told(line) for line in lines if _was_shown(line) or _is_shown(line)]

    async def _number(self, query: str) -> int:
        [row] = await self.service.fetch(query)
        number: int = row["number"]
        return number


def _is_shown(line: dict[str, Any]) -> bool:
    return line["type"] != "DELETED" and HIDDEN not in line["tags"]


def _was_shown(line: dict[str, Any]) -> bool:
    return line["type"] != "CREATED" and HIDDEN not in line["previous_tags"]


def _told(line: dict[str, Any]) -> Told:
    return {
        "mediaId": b64encode(f"Media:{line['media_id']}".encode()).decode(),
        "version": line["version"],
        "status": line["status"],
        "type": line["type"],
    }
