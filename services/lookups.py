"""Reading many rows by their ids, one statement for a whole level of a query's tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select

from db.media import media_by_ids
from db.media_lists import in_sight
from db.models import Blob, Media, Publication, Rendition, Tag, Upload, User
from db.publications import is_shown
from db.sessions import Sessions
from db.tags import tags_by_media


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """Each call is one statement. What is not there, or not for the viewer, is absent from the answer."""

    sessions: Sessions

    async def media(self, viewer: User, ids: Sequence[UUID]) -> dict[UUID, Media]:
        async with self.sessions() as session:
            return {media.id: media for media in await media_by_ids(session, viewer, ids)}

    async def blobs(self, ids: Sequence[UUID]) -> dict[UUID, Blob]:
        async with self.sessions() as session:
            rows = (await session.exec(select(Blob).where(col(Blob.id).in_(ids)))).all()
            return {blob.id: blob for blob in rows}

    async def users(self, ids: Sequence[UUID]) -> dict[UUID, User]:
        async with self.sessions() as session:
            rows = (await session.exec(select(User).where(col(User.id).in_(ids)))).all()
            return {user.id: user for user in rows}

    async def uploads_of_media(self, media_ids: Sequence[UUID]) -> dict[UUID, Upload]:
        async with self.sessions() as session:
            rows = (await session.exec(select(Upload).where(col(Upload.media_id).in_(media_ids)))).all()
            return {upload.media_id: upload for upload in rows}

    async def uploads(self, owner: User, ids: Sequence[UUID]) -> dict[UUID, tuple[Upload, Media]]:
        statement = (
            select(Upload, Media)
            .join(Media, col(Media.id) == col(Upload.media_id))
            .where(col(Upload.id).in_(ids), col(Media.owner_id) == owner.id)
        )
        async with self.sessions() as session:
            return {upload.id: (upload, media) for upload, media in (await session.exec(statement)).all()}

    async def renditions_of_blobs(self, blob_ids: Sequence[UUID]) -> dict[UUID, list[Rendition]]:
        """The narrowest first, then by name."""
        statement = (
            select(Rendition)
            .join(Blob, col(Blob.id) == col(Rendition.blob_id))
            .where(col(Rendition.blob_id).in_(blob_ids), is_shown())
            .order_by(col(Rendition.width), col(Rendition.name))
        )
        renditions: dict[UUID, list[Rendition]] = {}
        async with self.sessions() as session:
            for rendition in (await session.exec(statement)).all():
                renditions.setdefault(rendition.blob_id, []).append(rendition)
        return renditions

    async def renditions(self, viewer: User, ids: Sequence[UUID]) -> dict[UUID, tuple[Rendition, Media]]:
        """Of media that are there: those of a deleted one wait for the collector, out of sight."""
        statement = (
            select(Rendition, Media)
            .join(Media, col(Media.blob_id) == col(Rendition.blob_id))
            .where(col(Rendition.id).in_(ids), in_sight(viewer))
            .order_by(col(Media.id).desc())
        )
        async with self.sessions() as session:
            rows = (await session.exec(statement)).all()
            return {rendition.id: (rendition, media) for rendition, media in rows}

    async def publications(self, media_ids: Sequence[UUID]) -> dict[UUID, Publication]:
        """Those whose copies are all there."""
        statement = select(Publication).where(
            col(Publication.media_id).in_(media_ids),
            col(Publication.published_at).is_not(None),
            col(Publication.withdrawn_at).is_(None),
        )
        async with self.sessions() as session:
            return {row.media_id: row for row in (await session.exec(statement)).all()}

    async def tags_of_media(self, media_ids: Sequence[UUID]) -> dict[UUID, list[Tag]]:
        async with self.sessions() as session:
            return await tags_by_media(session, media_ids)

    async def tags(self, owner: User, ids: Sequence[UUID]) -> dict[UUID, Tag]:
        statement = select(Tag).where(
            col(Tag.id).in_(ids), col(Tag.owner_id) == owner.id, col(Tag.deleted_at).is_(None)
        )
        async with self.sessions() as session:
            return {tag.id: tag for tag in (await session.exec(statement)).all()}
