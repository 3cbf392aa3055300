"""How many bytes a user's media may hold: their originals in full, known bytes too; renditions are free."""

from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import User
from services.errors import QuotaExceeded


@dataclass(slots=True, kw_only=True)
class Account:
    """What a user uses and may use, in bytes; None is no limit. Good while the user's row is locked."""

    used: int
    quota: int | None

    def reserve(self, size: int) -> None:
        """Count `size` bytes as used. Raises QuotaExceeded, and counts nothing."""
        if self.quota is not None and self.used + size > self.quota:
            raise QuotaExceeded(
                f"size {size:,} bytes would pass the quota of {self.quota:,} bytes, of which {self.used:,} "
                "are used: delete something first.",
                "size",
                limit=self.quota,
                used=self.used,
            )
        self.used += size


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """`default` is the quota of users who have none of their own."""

    default: int | None

    def of(self, user: User) -> int | None:
        return self.default if user.quota_bytes is None else user.quota_bytes

    async def lock(self, session: AsyncSession, user: User) -> Account:
        """Until the transaction ends nobody else adds to what the user's media hold.

        After the user's media and tags, as everywhere; the rows that are inserted then are what counts.
        """
        statement = select(User).where(col(User.id) == user.id)
        row = (
            await session.exec(
                statement.with_for_update(key_share=True).execution_options(populate_existing=True)
            )
        ).one()
        return Account(used=row.used_bytes, quota=self.of(row))
