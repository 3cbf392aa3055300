"""What the live table shows: the media that changed last, as the list and then the events tell."""

from collections.abc import Iterable
from datetime import datetime

from app.client.library_watch import LibraryEvent
from app.client.media import ListedMedia

#: More than any screen has lines; what falls out comes back with its next event.
CAPACITY = 300


class Board:
    def __init__(self) -> None:
        self._media: dict[str, ListedMedia] = {}

    def reset(self, media: Iterable[ListedMedia]) -> None:
        """Show these and nothing else."""
        self._media = {each.id: each for each in media}

    def apply(self, event: LibraryEvent) -> None:
        """An event that the list knew already changes nothing."""
        if event.media_id is None:
            return
        if event.media is None or not event.matches:
            known = self._media.get(event.media_id)
            if known is None or event.media is None or known.version <= (event.version or 0):
                self._media.pop(event.media_id, None)
            return
        known = self._media.get(event.media_id)
        if known is None or known.version < event.media.version:
            self._media[event.media_id] = event.media
        if len(self._media) > CAPACITY:
            self.reset(self.latest(CAPACITY // 2))

    def latest(self, count: int) -> list[ListedMedia]:
        """At most `count` media, what changed last first."""
        by_change = sorted(
            self._media.values(), key=lambda each: datetime.fromisoformat(each.updated_at), reverse=True
        )
        return by_change[:count]
