"""Users, and what they may store."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Column, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, new_id, text_enum, utc_now
from db.models.enums import Role


class User(SQLModel, table=True):
    """`used_bytes` is the sum of `held_bytes` of the user's media, kept by a trigger on them; whoever adds to
    it up to the quota locks the row before. `quota_bytes` is null where the setting's default holds.
    """

    __tablename__: ClassVar[Any] = "users"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    username: str = Field(sa_type=Text, unique=True)
    role: Role = Field(sa_type=text_enum(Role))
    used_bytes: int = Field(default=0, sa_column=Column(BigInteger, server_default=text("0"), nullable=False))
    quota_bytes: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
