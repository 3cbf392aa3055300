"""How it ended with each file of an upload."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client.media import Media, Status, UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`user_errors`: the service refused it. `error`: what went wrong here.

    `already_stored`: there was nothing to send. An upload that can go on later is UPLOADING, with an `error`.
    """

    path: Path
    media_id: str | None = None
    status: Status | None = None
    media: Media | None = None
    user_errors: Sequence[UserError] = ()
    error: str | None = None
    already_stored: bool = False

    def succeeded(self, *, watched: bool) -> bool:
        accepted = {Status.READY} if watched else {Status.READY, Status.PROCESSING}
        return self.status in accepted and self.error is None
