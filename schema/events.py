"""What streams send."""

from datetime import datetime

import strawberry

from schema.enums import MediaEventType, MediaStatus
from schema.types import Media


@strawberry.type(description="One message of a stream.")
class MediaEvent:
    cursor: str = strawberry.field(
        description="Opaque: give it back as `after` to go on from here without a gap."
    )
    type: MediaEventType = strawberry.field(description="What it tells.")
    media_id: strawberry.ID | None = strawberry.field(
        description="The media; null for RESYNC and CURSOR, which concern the stream itself."
    )
    version: int | None = strawberry.field(
        description="The media's version then: drop a logged event whose version you have seen."
    )
    status: MediaStatus | None = strawberry.field(description="The media's status then.")
    previous_status: MediaStatus | None = strawberry.field(description="The status before.")
    matches: bool = strawberry.field(description="False: the media has just left the filter, or is gone.")
    media: Media | None = strawberry.field(description="The media as it is now; null once deleted.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
