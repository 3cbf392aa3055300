"""Media with objects in a store, of any age, and damage to both sides."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from db.media import create_media
from db.models import (
    Blob,
    Media,
    MediaKind,
    MediaStatus,
    Publication,
    Rendition,
    RenditionRole,
    User,
    Visibility,
    new_id,
    utc_now,
)
from db.sessions import Sessions
from services.keys import new_public_prefix, original_key, public_key, rendition_key
from storage.disk import DiskStore
from storage.objects import OpenMultipart

NAMES = ("webp-320.webp", "webp-640.webp")


class StoreWithMultiparts(DiskStore):
    """Its multipart uploads are a list that the test has written."""

    open_multiparts: list[OpenMultipart]

    async def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        for multipart in list(self.open_multiparts):
            if multipart.key.startswith(prefix):
                yield multipart

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        self.open_multiparts = [each for each in self.open_multiparts if each.upload_id != upload_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    media: Media
    original: str
    renditions: tuple[str, ...]
    copies: tuple[str, ...]

    @property
    def keys(self) -> set[str]:
        return {self.original, *self.renditions, *self.copies}


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedStore:
    sessions: Sessions
    store: StoreWithMultiparts
    owner: User
    root: Path

    async def put(self, key: str, *, age: timedelta = timedelta(hours=4)) -> str:
        """Store the key's own letters under it."""
        source = self.root / "source"
        source.write_text(key)
        await self.store.put_file(key, source, content_type="image/webp")
        self.age(key, age)
        return key

    def age(self, key: str, age: timedelta) -> None:
        moment = (utc_now() - age).timestamp()
        os.utime(self.root / "objects" / key, (moment, moment))

    async def keys(self) -> set[str]:
        return {entry.key async for entry in self.store.list("")}

    async def add(self, *, status: MediaStatus = MediaStatus.READY) -> Seeded:
        """A public media with its original, renditions and copies, all of them four hours old."""
        blob_id = new_id()
        original = original_key(self.owner.id, blob_id, "image/jpeg", utc_now())
        blob = Blob(id=blob_id, owner_id=self.owner.id, key=original, size=len(original), etag="etag")
        media = Media(
            owner_id=self.owner.id,
            blob_id=blob.id,
            kind=MediaKind.IMAGE,
            status=status,
            visibility=Visibility.PUBLIC,
            filename="a.jpg",
            mime_type="image/jpeg",
            size=len(original),
            held_bytes=len(original),
        )
        prefix = new_public_prefix()
        made = [rendition_key(original, "image-1", name) for name in NAMES]
        async with self.sessions.begin() as session:
            session.add(blob)
            await session.flush()
            await create_media(session, [(media, [])])
            session.add(Publication(media_id=media.id, prefix=prefix, published_at=utc_now()))
            session.add_all(rendition_row(blob, key) for key in made)
        copies = [public_key(prefix, key) for key in made]
        for key in (original, *made, *copies):
            await self.put(key)
        return Seeded(media=media, original=original, renditions=tuple(made), copies=tuple(copies))


def rendition_row(blob: Blob, key: str) -> Rendition:
    return Rendition(
        blob_id=blob.id,
        recipe="image-1",
        name=Path(key).stem,
        role=RenditionRole.IMAGE,
        mime_type="image/webp",
        width=320,
        height=320,
        size=len(key),
        key=key,
    )
