"""The one frozen object that API, worker and command line share, built from the settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from broadcaster import Broadcast
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cdn import purged_cdn, read_addresses
from app.embedded_postgres import embedded_postgres
from app.object_store import open_store
from app.operations.unfinished import refuse_unfinished_restore
from app.secret import installation_secret
from app.settings import Settings
from app.workspace import own_workspace
from db.home import settle_home
from db.migrate import check_revision, migrate
from db.models import User
from db.sessions import Sessions, create_engine, create_sessions
from pipeline.limits import ImageLimits
from pubsub.doorbell import Doorbell
from pubsub.postgres_doorbell import PostgresDoorbell
from services.accounts import ensure_local_user
from services.bundle import Services
from services.client_signing import ClientSigning
from services.cursors import LiveCursors
from services.delivery import Delivery
from services.delta import Delta
from services.feed import EventFeed
from services.finalizing import Finalizing
from services.housekeeping import Housekeeping
from services.known_bytes import KnownBytes
from services.library import Library
from services.live import LiveEvents
from services.lookups import Lookups
from services.page_cursors import PageCursors
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
from services.uploads import UploadLimits, Uploads
from storage.disk import DiskStore
from storage.objects import ObjectStore

#: How long a signed address to read from lives.
READ_ADDRESS_LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """`viewer` is who everybody is until accounts exist; `database_url` is for connections of their own.

    `disk_store` is the store once more where it is one on disk, which this service serves and tidies itself.
    """

    settings: Settings
    database_url: str
    engine: AsyncEngine
    sessions: Sessions
    store: ObjectStore
    disk_store: DiskStore | None
    doorbell: Doorbell
    feed: EventFeed
    services: Services
    viewer: User


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[str]:
    """The database's URL; the private server, if there is one, runs for as long as the block lasts."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
    else:
        async with embedded_postgres(settings.data_dir) as url:
            yield url


async def migrate_database(settings: Settings) -> None:
    """Bring the database to this code's revision; nobody else may use it while there is something to do."""
    refuse_unfinished_restore(settings.data_dir)
    async with open_database(settings) as url:
        await _migrate(url)


async def _migrate(url: str) -> None:
    """By an engine of its own: a migration may take its time."""
    engine = create_engine(url, command_timeout=None)
    try:
        await migrate(engine)
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Everything a process needs, closed in reverse order.

    A private database is migrated; one given by a setting must have this code's revision. Raises
    OperationError where a restore has not finished or the settings of a network before the store can't be
    meant, DatabaseInUseError where an older version still runs.
    """
    refuse_unfinished_restore(settings.data_dir)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(open_database(settings))
        if settings.database_url is None:
            await _migrate(url)
        engine = create_engine(url)
        stack.push_async_callback(engine.dispose)
        await check_revision(engine)
        sessions = create_sessions(engine)
        broadcast = await stack.enter_async_context(Broadcast(backend=PostgresDoorbell(url)))
        doorbell = Doorbell(broadcast)
        work_dir = stack.enter_context(own_workspace(settings.data_dir / "work"))
        secret = _secret(settings)
        store = await stack.enter_async_context(open_store(settings, secret))
        async with sessions.begin() as session:
            await settle_home(session)
        feed = EventFeed(engine, doorbell)
        yield Runtime(
            settings=settings,
            database_url=url,
            engine=engine,
            sessions=sessions,
            store=store,
            disk_store=store if isinstance(store, DiskStore) else None,
            doorbell=doorbell,
            feed=feed,
            services=_services(settings, sessions, store, doorbell, feed, secret, work_dir),
            viewer=await ensure_local_user(sessions),
        )


def _secret(settings: Settings) -> bytes:
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    return installation_secret(settings.data_dir)


def _services(
    settings: Settings,
    sessions: Sessions,
    store: ObjectStore,
    doorbell: Doorbell,
    feed: EventFeed,
    secret: bytes,
    work_dir: Path,
) -> Services:
    limits = UploadLimits(
        max_bytes=settings.max_upload_bytes,
        multipart_bytes=settings.multipart_bytes,
        staging=settings.bucket is not None and not settings.s3_conditional_writes,
    )
    live_cursors, page_cursors = LiveCursors(secret), PageCursors(secret)
    publications = Publications(sessions=sessions, store=store, cdn=purged_cdn(settings))
    parts = Parts(sessions=sessions, store=store, address_lifetime=limits.address_lifetime)
    quotas = Quotas(default=settings.quota_bytes)
    known_bytes = KnownBytes(dedup=settings.dedup, grace=limits.collection_grace)
    possession = Possession(
        sessions=sessions,
        store=store,
        doorbell=doorbell,
        dedup=settings.dedup,
        grace=limits.collection_grace,
    )
    uploads = Uploads(
        sessions=sessions,
        store=store,
        doorbell=doorbell,
        limits=limits,
        quotas=quotas,
        known_bytes=known_bytes,
        possession=possession,
        delta=Delta(sessions=sessions, store=store, parts=parts),
    )
    upload_endings = UploadEndings(
        sessions=sessions, doorbell=doorbell, parts=parts, grace=limits.collection_grace
    )
    processing = Processing(
        sessions=sessions,
        store=store,
        doorbell=doorbell,
        limits=replace(ImageLimits(), max_pixels=settings.max_pixels),
        work_dir=work_dir,
        known_bytes=known_bytes,
        multipart_bytes=limits.multipart_bytes,
        grace=limits.collection_grace,
    )
    tag_deletion = TagDeletion(sessions=sessions, doorbell=doorbell)
    return Services(
        uploads=uploads,
        upload_endings=upload_endings,
        client_signing=ClientSigning(sessions=sessions, store=store, uploads=uploads, parts=parts),
        parts=parts,
        part_listings=PartListings(store=store),
        finalizing=Finalizing(
            sessions=sessions, store=store, doorbell=doorbell, parts=parts, grace=limits.collection_grace
        ),
        quotas=quotas,
        possession=possession,
        library=Library(
            sessions=sessions,
            doorbell=doorbell,
            page_cursors=page_cursors,
            live_cursors=live_cursors,
            publications=publications,
            collection_grace=limits.collection_grace,
        ),
        tags=Tags(sessions=sessions, doorbell=doorbell, page_cursors=page_cursors),
        tag_deletion=tag_deletion,
        lookups=Lookups(sessions=sessions),
        delivery=Delivery(addresses=read_addresses(settings, store), address_lifetime=READ_ADDRESS_LIFETIME),
        live=LiveEvents(sessions, feed, live_cursors),
        processing=processing,
        publications=publications,
        processing_control=ProcessingControl(sessions=sessions, doorbell=doorbell),
        housekeeping=Housekeeping(
            sessions=sessions,
            store=store,
            upload_endings=upload_endings,
            parts=parts,
            possession=possession,
            processing=processing,
            publications=publications,
            tag_deletion=tag_deletion,
        ),
    )
