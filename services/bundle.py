"""All services of one process, wired once by `app.runtime`."""

from dataclasses import dataclass

from services.client_signing import ClientSigning
from services.delivery import Delivery
from services.finalizing import Finalizing
from services.housekeeping import Housekeeping
from services.library import Library
from services.live import LiveEvents
from services.lookups import Lookups
from services.part_listings import PartListings
from services.parts import Parts
from services.possession import Possession
from services.processing import Processing
from services.processing_control import ProcessingControl
from services.publications import Publications
from services.quotas import Quotas
from services.tag_deletion import TagDeletion
from services.tags import Tags
from services.upload_endings import UploadEndings
from services.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    uploads: Uploads
    upload_endings: UploadEndings
    client_signing: ClientSigning
    parts: Parts
    part_listings: PartListings
    finalizing: Finalizing
    quotas: Quotas
    possession: Possession
    library: Library
    tags: Tags
    tag_deletion: TagDeletion
    lookups: Lookups
    delivery: Delivery
    live: LiveEvents
    processing: Processing
    publications: Publications
    processing_control: ProcessingControl
    housekeeping: Housekeeping
