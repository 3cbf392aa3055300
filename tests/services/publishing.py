"""Media to publish, stores that break at a chosen moment, and the judgement of what is public."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import UUID

from sqlmodel import col, select

from db.media import change_media, create_media, delete_media, lock_media
from db.models import (
    Blob,
    Media,
    MediaEventType,
    MediaStatus,
    Publication,
    Rendition,
    RenditionRole,
    User,
    Visibility,
)
from db.sessions import Sessions
from services.keys import public_key
from storage.disk import DiskStore
from storage.objects import ObjectInfo
from tests.live.writers import media_row

NAMES = ("webp-320.webp", "avif-640.avif", "jpeg-640.jpg")


class Killed(BaseException):
    """Nothing after this is run, as after a kill: no handler of ours catches it."""


class BreakableStore(DiskStore):
    """Calls `before(what, number)` before, and `after(…)` after its n-th change or listing."""

    count = 0
    before: Callable[[str, int], None] = staticmethod(lambda what, number: None)
    after: Callable[[str, int], None] = staticmethod(lambda what, number: None)

    async def copy(
        self, source: str, key: str, *, content_type: str, if_etag: str | None = None
    ) -> ObjectInfo:
        number = self._next("copy")
        info = await super().copy(source, key, content_type=content_type, if_etag=if_etag)
        self.after("copy", number)
        return info

    async def delete(self, keys: Sequence[str]) -> None:
        number = self._next("delete")
        await super().delete(keys)
        self.after("delete", number)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        number = self._next("list")
        async for info in super().list(prefix):
            yield info
        self.after("list", number)

    def _next(self, what: str) -> int:
        self.count += 1
        self.before(what, self.count)
        return self.count

    def mend(self) -> None:
        self.count = 0
        self.before = self.after = lambda what, number: None


class RecordingCdn:
    """`failing` many times it can't be asked."""

    def __init__(self) -> None:
        self.purged: list[str] = []
        self.failing = 0

    async def purge(self, prefix: str) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("The network does not answer.")
        self.purged.append(prefix)


class Gallery:
    """One owner's media, changed as services do but without their settling."""

    def __init__(self, sessions: Sessions, store: DiskStore, owner: User, scratch: Path) -> None:
        self.sessions = sessions
        self.store = store
        self.owner = owner
        self.root = scratch / "objects"
        self._scratch = scratch

    async def add(
        self, visibility: Visibility = Visibility.PUBLIC, status: MediaStatus = MediaStatus.READY
    ) -> UUID:
        """A media with three renditions in the store."""
        media = await media_row(self.sessions, self.owner.id, status=status)
        media.visibility = visibility
        async with self.sessions.begin() as session:
            await create_media(session, [(media, [])])
            blob = await session.get_one(Blob, media.blob_id)
            for name in NAMES:
                key = f"{blob.key}/image-1/{name}"
                session.add(
                    Rendition(
                        blob_id=blob.id,
                        recipe="image-1",
                        name=name.partition(".")[0],
                        role=RenditionRole.IMAGE,
                        mime_type=f"image/{name.partition('-')[0]}",
                        width=320,
                        height=320,
                        size=len(name),
                        key=key,
                    )
                )
                source = self._scratch / name
                source.write_bytes(name.encode())
                await self.store.put_file(key, source, content_type="image/webp")
        return media.id

    async def change(self, media_id: UUID, *, visibility: Visibility) -> None:
        async with self.sessions.begin() as session:
            media = (await lock_media(session, self.owner.id, [media_id]))[media_id]
            await change_media(session, media, MediaEventType.UPDATED, visibility=visibility)

    async def delete(self, media_id: UUID) -> None:
        async with self.sessions.begin() as session:
            media = (await lock_media(session, self.owner.id, [media_id]))[media_id]
            await delete_media(session, media)

    async def publication(self, media_id: UUID) -> Publication | None:
        async with self.sessions() as session:
            return await session.get(Publication, media_id)

    async def public_keys(self) -> list[str]:
        return [info.key async for info in self.store.list("public/")]

    async def expected_keys(self) -> list[str]:
        """Where the copies of what is PUBLIC and READY are to be, by the rows."""
        statement = (
            select(Publication, Rendition)
            .join(Media, col(Media.id) == col(Publication.media_id))
            .join(Rendition, col(Rendition.blob_id) == col(Media.blob_id))
            .where(col(Media.visibility) == Visibility.PUBLIC, col(Media.status) == MediaStatus.READY)
        )
        async with self.sessions() as session:
            rows = (await session.exec(statement)).all()
        return sorted(public_key(publication.prefix, rendition.key) for publication, rendition in rows)

    async def is_settled(self) -> bool:
        """Every media that is to be public is, with all its copies; and nothing else is there at all."""
        wanted = select(col(Media.id)).where(
            col(Media.visibility) == Visibility.PUBLIC, col(Media.status) == MediaStatus.READY
        )
        async with self.sessions() as session:
            media_ids = set((await session.exec(wanted)).all())
            rows = (await session.exec(select(Publication))).all()
        whole = all(row.published_at and not row.withdrawn_at for row in rows)
        recorded = {row.media_id for row in rows}
        return whole and recorded == media_ids and await self.public_keys() == await self.expected_keys()
