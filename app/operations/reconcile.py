"""`reconcile`: the object store and the database held against each other, and on request put right."""

from app.operations.errors import OperationError
from app.runtime import open_runtime
from app.settings import Settings
from db.sessions import create_engine, create_sessions
from services.reconciliation import LOST, MENDABLE, Difference, Reconciliation, Report, Tally
from storage.errors import StorageError

#: What each difference is called, and what `--apply` does about it.
_SENTENCES = {
    Difference.ORPHAN: ("Objects that no row knows", "deleted"),
    Difference.ORPHAN_COPY: ("Public copies that no publication knows", "deleted"),
    Difference.ORPHAN_MULTIPART: ("Unfinished multipart uploads that nobody awaits", "aborted"),
    Difference.FOREIGN: ("Objects that are not Darkroom's", ""),
    Difference.MISSING_ORIGINAL: ("Originals that are not in the store", ""),
    Difference.MISSING_RENDITION: ("Renditions that are not in the store", ""),
    Difference.MISSING_COPY: ("Public copies that are not in the store", "to be made again by a worker"),
}

#: For what `--apply` does nothing about.
_ADVICE = {
    Difference.MISSING_ORIGINAL: "Restore it from a backup, or delete the media and upload the file again.",
    Difference.MISSING_RENDITION: "Restore it from a backup, or upload the same file again.",
    Difference.FOREIGN: "They are left to whoever put them there.",
}


async def reconcile(settings: Settings, *, apply: bool) -> tuple[Report, float]:
    """The report, and the hours within which nothing is touched. Works while the service runs.

    Raises OperationError where the store does not answer.
    """
    async with open_runtime(settings) as runtime:
        # By an engine of its own: to sort millions of keys may take its time.
        engine = create_engine(runtime.database_url, command_timeout=None)
        grace = runtime.services.uploads.limits.collection_grace
        try:
            reconciliation = Reconciliation(
                sessions=create_sessions(engine), store=runtime.store, grace=grace
            )
            return await reconciliation.run(apply=apply), grace.total_seconds() / 3600
        except StorageError as error:
            done = " What was done before stays." if apply else ""
            raise OperationError(f"The object store failed: {error}{done}") from None
        finally:
            await engine.dispose()


def document(report: Report) -> dict[str, object]:
    """The report as JSON: `mended` are those that `--apply` has dealt with."""
    return {
        "objects": report.objects,
        "young": report.young,
        "left": report.left,
        "differences": {
            difference.value: {
                "count": tally.count,
                "bytes": tally.byte_size,
                "mended": tally.mended,
                "examples": tally.examples,
            }
            for difference, tally in report.found.items()
        },
    }


def sentences(report: Report, hours: float) -> str:
    """A line for each kind of difference that was found, with the first keys, and what to do about it."""
    lines = [f"Objects that were held against the database: {report.objects:,}."]
    for difference, tally in report.found.items():
        if tally.count:
            lines += _told(difference, tally)
    if len(lines) == 1:
        lines.append("Nothing differs.")
    if report.young:
        lines.append(f"Younger than {hours:g} hours, and left alone: {report.young:,}.")
    if any(report.found[each].count > report.found[each].mended for each in MENDABLE):
        lines.append("With --apply, orphans are deleted and public copies made again.")
    if any(report.found[each].count for each in LOST):
        lines.append(
            "With --apply, what is not in the store is not known any more: the file can be sent again."
        )
    return "\n".join(lines)


def _told(difference: Difference, tally: Tally) -> list[str]:
    what, done = _SENTENCES[difference]
    size = f", {tally.byte_size:,} bytes" if tally.byte_size else ""
    mended = f", {tally.mended:,} {done}" if tally.mended else ""
    lines = [f"  {what}: {tally.count:,}{size}{mended}", *(f"      {key}" for key in tally.examples)]
    if tally.count > len(tally.examples):
        lines.append("      …")
    if difference in _ADVICE:
        lines.append(f"    {_ADVICE[difference]}")
    return lines
