"""`backup`, `restore`, `reconcile`, `quota`, `doctor` and `bucket` on the command line.

0: all is well. 1: not done, or done with something to look at. 130: interrupted.
"""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from app.operations.backup import Backup
    from app.operations.restore import Restored
    from app.settings import Settings

T = TypeVar("T")

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The archive, one .tar file.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(backup)
    app.command()(restore)
    app.command()(reconcile)
    app.command()(quota)
    app.command()(doctor)
    bucket = typer.Typer(no_args_is_help=True, help="Look after the bucket that holds the objects.")
    bucket.callback()(_bucket)
    bucket.command("init")(bucket_init)
    app.add_typer(bucket, name="bucket")


def backup(
    file: _File,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    database_only: Annotated[
        bool, typer.Option("--database-only", help="Where objects lie on S3: save the database alone.")
    ] = False,
    json: _Json = False,
) -> None:
    """Back up the database and its objects into FILE, while the service goes on."""
    from app.operations.backup import back_up

    done = _run(
        back_up(_settings(), file.absolute(), force=force, database_only=database_only), "nothing was kept"
    )
    if done.missing:
        names = ", ".join(done.missing)
        sys.stderr.write(
            f"{done.manifest.missing:,} objects that the database names are not in the store, and so not in "
            f"the backup: {names}{' …' if done.manifest.missing > len(done.missing) else ''}\n"
        )
    _print(_backup_document(done) if json else _backup_sentence(done))
    raise SystemExit(1 if done.missing else 0)


def restore(file: _File, json: _Json = False) -> None:
    """Restore FILE into an empty data directory and database."""
    from app.operations.restore import restore as run

    done = _run(run(_settings(), file), "run it again, and it begins anew or finishes")
    _print(_restore_document(done) if json else _restore_sentence(done))


def reconcile(
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete orphans, and have missing public copies made again.")
    ] = False,
    json: _Json = False,
) -> None:
    """Hold the object store and the database against each other, and say what differs.

    Changes nothing without --apply. Exits with 1 where something differs that was not put right. MinIO
    does not list unfinished multipart uploads: there its own rule for stale ones has to remove them.
    """
    from app.operations.reconcile import document, sentences
    from app.operations.reconcile import reconcile as run

    report, hours = _run(run(_settings(), apply=apply), "run it again, and it goes on")
    _print(document(report) if json else sentences(report, hours))
    raise SystemExit(1 if report.left else 0)


def quota(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Only this one.")] = None,
    bytes: Annotated[
        str | None,
        typer.Argument(metavar="[BYTES]", help="What USER may have from now on; none for the default."),
    ] = None,
    json: _Json = False,
) -> None:
    """Show what users use and may use, or set what one of them may; what is beyond it stays."""
    from app.operations.quota import set_quota, uses

    if user is not None and bytes is not None:
        found = [_run(set_quota(_settings(), user, bytes), "nothing was changed, or all of it")]
    else:
        found = _run(uses(_settings(), user), "nothing was changed")
    for use in found:
        _print(use.document if json else use.sentence)


def doctor(json: _Json = False) -> None:
    """Look at everything that Darkroom needs, and say what is wrong and what to do.

    Leaves all as it was: the few bytes that it writes to try the object store it removes again.
    """
    from app.operations.doctor import main

    raise SystemExit(_run(main(json=json), "the rest was not looked at"))


def _bucket() -> None:
    """Look after the bucket that holds the objects."""


def bucket_init(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, only say what is missing.")] = False,
) -> None:
    """Make the bucket of DARKROOM_STORAGE_URL what it must be: there, private, with CORS and lifecycle rules.

    What is right is left alone, and what others have set stays. Exits with 1 where something is left to do.
    """
    raise SystemExit(_run(_initialize(check), "run it again: what is right is left alone"))


async def _initialize(only_check: bool) -> int:
    from app.operations.bucket import initialize
    from app.operations.telling import tell

    code = 0
    async for right, line in initialize(_settings(), only_check=only_check):
        code |= not right
        tell(f"{'' if right else 'To do: '}{line}\n")
    return code


def _settings() -> "Settings":
    from app.logs import configure_logs
    from app.settings import read_settings

    settings = read_settings()
    configure_logs("WARNING", stream=sys.stderr)  # stdout is for what was asked
    return settings


def _run(main: Coroutine[Any, Any, T], if_interrupted: str) -> T:
    from app.embedded_postgres import EmbeddedPostgresError
    from app.operations.errors import OperationError
    from db.migrate import WrongRevisionError

    try:
        return asyncio.run(main)
    except (OperationError, EmbeddedPostgresError, WrongRevisionError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        sys.stderr.write(f"Interrupted: {if_interrupted}.\n")
        raise SystemExit(130) from None


def _print(answer: str | dict[str, object]) -> None:
    from app.operations.telling import tell

    if isinstance(answer, dict):
        import orjson

        answer = orjson.dumps(answer).decode()
    tell(f"{answer}\n")


def _backup_document(done: "Backup") -> dict[str, object]:
    manifest = done.manifest
    return {
        "file": str(done.path),
        "bytes": done.byte_size,
        "media": manifest.media,
        "objects": manifest.objects,
        "objectBytes": manifest.object_bytes,
        "missing": manifest.missing,
        "bucket": manifest.bucket,
        "revision": manifest.revision,
        "createdAt": manifest.created_at,
    }


def _backup_sentence(done: "Backup") -> str:
    manifest = done.manifest
    if manifest.bucket is not None:
        return (
            f"Backed up the database with {manifest.media:,} media into {done.path} ({done.byte_size:,} "
            f"bytes). Their objects, in the bucket {manifest.bucket}, are NOT in it; nor are the signing "
            "secret and the settings."
        )
    return (
        f"Backed up {manifest.media:,} media and {manifest.objects:,} objects into {done.path} "
        f"({done.byte_size:,} bytes). The signing secret and the settings are not in it."
    )


def _restore_document(done: "Restored") -> dict[str, object]:
    manifest = done.manifest
    return {
        "media": manifest.media,
        "objects": manifest.objects,
        "objectBytes": manifest.object_bytes,
        "missing": manifest.missing,
        "bucket": manifest.bucket,
        "archivedRevision": manifest.revision,
        "revision": done.revision,
        "createdAt": manifest.created_at,
        "finishedOnly": done.finished_only,
    }


def _restore_sentence(done: "Restored") -> str:
    manifest = done.manifest
    if done.finished_only:
        return "An interrupted restore had put everything in place; it is finished now."
    if manifest.bucket is not None:
        return (
            f"Restored the database, {manifest.media:,} media, as of {manifest.created_at}. Their objects "
            f"were in the bucket {manifest.bucket} and are read from that of the settings: "
            "`darkroom reconcile --apply` says what it lacks. Streams begin anew (RESYNC)."
        )
    return (
        f"Restored {manifest.media:,} media and {manifest.objects:,} objects as of {manifest.created_at}. "
        "Streams begin anew (RESYNC); with another signing secret, addresses and cursors from before end."
    )
