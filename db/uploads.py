"""Uploads by what is known of them outside."""

from sqlalchemy import ColumnElement, literal_column
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import Media, Upload, UploadStatus

#: Written out, for a plan knows no parameter's value, and the index holds only these.
_PENDING: ColumnElement[str] = literal_column(f"'{UploadStatus.PENDING}'")


async def find_awaited(session: AsyncSession, key: str) -> tuple[Media, Upload] | None:
    """The upload that still waits for its bytes under `key`, with its media."""
    statement = (
        select(Media, Upload)
        .join(Upload, col(Upload.media_id) == col(Media.id))
        .where(col(Upload.key) == key, col(Upload.status) == _PENDING)
    )
    return (await session.exec(statement)).one_or_none()
