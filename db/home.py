"""What has to be thought of anew where a dump came to another database than the one it was made of."""

from sqlmodel.ext.asyncio.session import AsyncSession

from db.events import settle_log
from db.jobs import forget_schedules
from db.publications import doubt_publications


async def settle_home(session: AsyncSession) -> None:
    """At each start and after a restore, in one transaction; whichever program restored the dump.

    In another database than before, the log has a new epoch, and all public copies are made again: a dump
    brings the rows that say that they are there, and a backup does not hold them. What was done at its time
    was done there: it is due here at once.
    """
    if await settle_log(session):
        await doubt_publications(session)
        await forget_schedules(session)
