"""`quota`: what users use and may use, and how much one of them may from now on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlmodel import col, select

from app.operations.errors import OperationError
from app.runtime import open_database
from app.settings import Settings
from db.migrate import check_revision
from db.models import User
from db.sessions import Sessions, create_engine, create_sessions

#: Back to the setting's default.
DEFAULT = "none"

#: What the column holds.
_MAX_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """In bytes. `quota` is None where nothing limits the user; `is_own` where it is not the setting's."""

    username: str
    used: int
    quota: int | None
    is_own: bool

    @property
    def document(self) -> dict[str, object]:
        return {"user": self.username, "usedBytes": self.used, "quotaBytes": self.quota, "own": self.is_own}

    @property
    def sentence(self) -> str:
        if self.quota is None:
            return f"{self.username}: {self.used:,} bytes used, no quota"
        share = f"{self.username}: {self.used:,} of {self.quota:,} bytes used"
        return share if self.is_own else f"{share} (DARKROOM_QUOTA_BYTES)"


async def uses(settings: Settings, username: str | None) -> list[Use]:
    """Of one user or of all, by name. Raises OperationError for a user who is not there."""
    async with _database(settings) as sessions, sessions() as session:
        statement = select(User).order_by(col(User.username))
        if username is not None:
            statement = statement.where(col(User.username) == username)
        rows: Sequence[User] = (await session.exec(statement)).all()
    if username is not None and not rows:
        raise _nobody(username)
    return [_use(settings, row) for row in rows]


async def set_quota(settings: Settings, username: str, quota: str) -> Use:
    """Let the user have `quota` bytes, or the default again; what they have beyond it stays.

    Works while the service runs and counts from the next request for an upload on. Raises OperationError.
    """
    limit = _parsed(quota)
    async with _database(settings) as sessions, sessions.begin() as session:
        statement = select(User).where(col(User.username) == username)
        row = (await session.exec(statement.with_for_update(key_share=True))).one_or_none()
        if row is None:
            raise _nobody(username)
        row.quota_bytes = limit
        return _use(settings, row)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Sessions]:
    async with open_database(settings) as url:
        engine = create_engine(url)
        try:
            await check_revision(engine)
            yield create_sessions(engine)
        finally:
            await engine.dispose()


def _parsed(quota: str) -> int | None:
    if quota == DEFAULT:
        return None
    if not (quota.isascii() and quota.isdecimal() and int(quota) <= _MAX_BYTES):
        raise OperationError(f"BYTES must be a number of bytes up to {_MAX_BYTES:,}, or {DEFAULT}.")
    return int(quota)


def _use(settings: Settings, row: User) -> Use:
    is_own = row.quota_bytes is not None
    quota = row.quota_bytes if is_own else settings.quota_bytes
    return Use(username=row.username, used=row.used_bytes, quota=quota, is_own=is_own)


def _nobody(username: str) -> OperationError:
    return OperationError(f"There is no user {username!r}.")
