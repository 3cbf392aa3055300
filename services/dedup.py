"""Whose bytes are shared: a setting, apart from what does it, so that reading settings loads no database."""

from enum import StrEnum


class Dedup(StrEnum):
    """Whose equal bytes are kept once: those of one owner, or those of all."""

    OWNER = "owner"
    GLOBAL = "global"
    #: And a challenge may save the sending of what somebody else has sent.
    GLOBAL_FAST = "global-fast"

    @property
    def is_global(self) -> bool:
        return self is not Dedup.OWNER
