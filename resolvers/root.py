"""The table of contents: every root field of the contract and the function that answers it."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers import live as live_resolvers
from resolvers import media as media_resolvers
from resolvers import nodes as node_resolvers
from resolvers import processing as processing_resolvers
from resolvers import tags as tag_resolvers
from resolvers import uploads as upload_resolvers
from resolvers.execution import EXTENSIONS, DarkroomSchema
from schema.errors import (
    ChecksumMismatchError,
    ConflictError,
    GenericError,
    InvalidInputError,
    NotFoundError,
    PartsMissingError,
    QuotaExceededError,
)
from schema.scalars import SCALARS
from schema.types import Rendition


@strawberry.type(description="What can be read.")
class Query:
    node = strawberry.field(
        resolver=node_resolvers.node,
        description="Anything by its global id; null where it is not there or not for you to see. "
        "Somebody else's tags, and other people, are shown by their media alone.",
    )
    nodes = strawberry.field(
        resolver=node_resolvers.nodes, description="Several things by their global ids, in the order asked."
    )
    media = strawberry.field(
        resolver=media_resolvers.media,
        description="One media; null where it is not there or not for you to see.",
    )
    media_items = strawberry.field(
        resolver=media_resolvers.media_items,
        description="The viewer's media or those of a wider scope, by default the newest first.",
    )
    tag = strawberry.field(
        resolver=tag_resolvers.tag, description="One of the viewer's tags; null where there is none."
    )
    tags = strawberry.field(resolver=tag_resolvers.tags, description="The viewer's tags, by slug.")
    viewer = strawberry.field(resolver=node_resolvers.viewer, description="Who asks.")


@strawberry.type(description="What can be changed.")
class Mutation:
    request_upload = strawberry.mutation(
        resolver=upload_resolvers.request_upload,
        description="Announce a file; the answer says where to send its bytes.",
    )
    request_uploads = strawberry.mutation(
        resolver=upload_resolvers.request_uploads,
        description="Announce up to 100 files; one that is refused does not hold back the others. A request "
        "has at most 2 MiB: announce files with many blocks one by one.",
    )
    sign_upload_parts = strawberry.mutation(
        resolver=upload_resolvers.sign_upload_parts,
        description="Addresses for parts of an upload, as often as they are asked for: an expired one too.",
    )
    answer_possession_challenge = strawberry.mutation(
        resolver=upload_resolvers.answer_possession_challenge,
        description="Prove that one holds the bytes of an upload instead of sending them; there is one try.",
    )
    sign_upload_request = strawberry.mutation(
        resolver=upload_resolvers.sign_upload_request,
        description="Sign one request of the S3 API, for Uppy's aws-s3 plugin and the like: what sends the "
        "bytes of an upload, and never one that deletes or overwrites an object.",
    )
    finalize_upload = strawberry.mutation(
        resolver=upload_resolvers.finalize_upload,
        description="Tell that the bytes were sent, which starts their processing.",
    )
    abort_upload = strawberry.mutation(
        resolver=upload_resolvers.abort_upload,
        description="Give up an upload: its media fails as CANCELLED and what arrived is removed later.",
    )
    retry_processing = strawberry.mutation(
        resolver=processing_resolvers.retry_processing,
        description="Process a media again that FAILED or was cancelled; one that is PROCESSING goes on.",
    )
    cancel_processing = strawberry.mutation(
        resolver=processing_resolvers.cancel_processing,
        description="End the processing of a media: it fails as CANCELLED, and can be processed again.",
    )
    update_media = strawberry.mutation(
        resolver=media_resolvers.update_media, description="Change what the owner says of a media."
    )
    delete_media = strawberry.mutation(
        resolver=media_resolvers.delete_media, description="Delete a media with everything made from it."
    )
    create_tag = strawberry.mutation(
        resolver=tag_resolvers.create_tag, description="Create a tag, or find the one that there is already."
    )
    rename_tag = strawberry.mutation(
        resolver=tag_resolvers.rename_tag,
        description="Give a tag another name and slug; its media do not change, and no event tells of it.",
    )
    delete_tag = strawberry.mutation(
        resolver=tag_resolvers.delete_tag,
        description="Delete a tag, which is out of sight at once; events tell as it is taken off its media.",
    )
    tag_media = strawberry.mutation(resolver=tag_resolvers.tag_media, description="Put tags on media.")
    untag_media = strawberry.mutation(resolver=tag_resolvers.untag_media, description="Take tags off media.")


@strawberry.type(description="What can be followed.")
class Subscription:
    media_status = strawberry.subscription(
        resolver=live_resolvers.media_status,
        description="One media: its present state at once, then every transition in order; "
        "completes after READY, FAILED or deletion.",
    )
    media_events = strawberry.subscription(
        resolver=live_resolvers.media_events,
        description="Every change of the media that match the filter; never completes by itself.",
    )


schema = DarkroomSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[
        Rendition,
        ChecksumMismatchError,
        GenericError,
        InvalidInputError,
        NotFoundError,
        ConflictError,
        PartsMissingError,
        QuotaExceededError,
    ],
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=EXTENSIONS,
)
