"""The commands that speak to a running service over the network."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.client.media import Kind, Order, Status, Visibility

commands = typer.Typer()

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Whole ids of media, as `ls` shows them.")]
Statuses = Annotated[
    list[Status] | None,
    typer.Option("--status", case_sensitive=False, help="Only in this state; may be given again."),
]
Kinds = Annotated[
    list[Kind] | None,
    typer.Option("--kind", case_sensitive=False, help="Only of this kind; may be given again."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="Only with this tag; given again: with all of them.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for each, a line each.")]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="DARKROOM_URL", metavar="URL", help="Where Darkroom is. Default: as in its settings."
    ),
]


def _moment(help: str) -> Any:
    """Without an offset it is meant by the clock on the wall."""
    return typer.Option(
        metavar="TIME",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help=help,
    )


@commands.command()
def upload(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE|FOLDER...",
            help="Pictures: JPEG, PNG, WebP, GIF, HEIC, HEIF, AVIF, TIFF, JPEG XL or SVG; or folders.",
        ),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Put this tag on each; may be given again.")] = None,
    title: Annotated[str | None, typer.Option(help="Give each this title.")] = None,
    watch: Annotated[bool, typer.Option(help="Follow each until it is READY or FAILED.")] = True,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with uploads to this service that were interrupted: of these files, or all.",
        ),
    ] = False,
    parallel: Annotated[
        int, typer.Option(min=1, max=32, metavar="N", help="Connections that carry bytes at once.")
    ] = 4,
    json: Json = False,
    url: Url = None,
) -> None:
    """Upload pictures and watch them develop.

    Of a folder everything beneath it, but hidden files and symbolic links. A large file goes in parts: what
    was received stays after Ctrl-C, a crash or a restart, and --resume sends the rest.
    """
    with _ending():
        from app.client.upload import Options, run

        options = Options(
            paths=paths or [],
            tags=tag or [],
            title=title,
            watch=watch,
            resume=resume,
            parallel=parallel,
            json=json,
        )
        raise SystemExit(run(options, _origin(url)))


@commands.command()
def ls(
    status: Statuses = None,
    kind: Kinds = None,
    tag: Tags = None,
    search: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Only where each begins a word of title, name, tags or text."),
    ] = None,
    visibility: Annotated[
        Visibility | None, typer.Option(case_sensitive=False, help="Only those that these may see.")
    ] = None,
    created_after: Annotated[datetime | None, _moment("Only created after it, as in 2026-11-21.")] = None,
    created_before: Annotated[datetime | None, _moment("Only created before it.")] = None,
    order: Annotated[Order, typer.Option(case_sensitive=False, help="What comes first.")] = Order.NEWEST,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show so many at most. Default: 50.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Show all, however many.")] = False,
    json: Json = False,
    url: Url = None,
) -> None:
    """List media.

    Not in a terminal: a line for each, with tabs between id, filename, kind, status, bytes, creation, tags.
    """
    with _ending():
        from app.client import running
        from app.client.listing import Options, list_media
        from app.client.selection import Selection, tag_slugs

        async def command(origin: str) -> running.ExitCode:
            selection = Selection(
                statuses=status or [],
                kinds=kind or [],
                tags=tag_slugs(tag or []),
                search=search,
                visibility=visibility,
                created_after=created_after,
                created_before=created_before,
            )
            options = Options(selection=selection, order=order, limit=limit, all=all, json=json)
            return await list_media(options, origin)

        raise SystemExit(running.run(command, _origin(url)))


@commands.command()
def watch(
    status: Statuses = None, kind: Kinds = None, tag: Tags = None, json: Json = False, url: Url = None
) -> None:
    """Follow everything live, until Ctrl-C.

    In a terminal a table, what changed last on top. Elsewhere, or with --json, a line for each new event.
    """
    with _ending():
        from app.client import running
        from app.client.selection import Selection, tag_slugs
        from app.client.watch import watch as follow

        async def command(origin: str) -> running.ExitCode:
            selection = Selection(statuses=status or [], kinds=kind or [], tags=tag_slugs(tag or []))
            return await follow(selection, json=json, origin=origin)

        raise SystemExit(running.run(command, _origin(url), interrupted=""))


@commands.command()
def show(ids: Ids, json: Json = False, url: Url = None) -> None:
    """Show all that is known of media, with addresses of their files.

    An address works for about five minutes; that of a rendition of PUBLIC media until it is unpublished.
    """
    with _ending():
        from app.client import running
        from app.client.showing import show_media

        raise SystemExit(running.run(lambda origin: show_media(ids, json=json, origin=origin), _origin(url)))


@commands.command()
def download(
    ids: Ids,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR|FILE",
            help="Where to save. Default: here, under its own name; -: stdout.",
        ),
    ] = None,
    rendition: Annotated[
        str | None, typer.Option(metavar="NAME", help="This rendition, as in webp-640, not the original.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    json: Json = False,
    url: Url = None,
) -> None:
    """Save originals or renditions, and print their paths.

    A file gets its name once its size is right, and an original's SHA-256. What was interrupted goes on from
    its .part file.
    """
    with _ending():
        from app.client import running
        from app.client.download import Options
        from app.client.download import download as save

        options = Options(ids=ids, rendition=rendition, output=output, force=force, json=json)
        code = running.run(
            lambda origin: save(options, origin),
            _origin(url),
            interrupted="Interrupted."
            if output == "-"
            else "Interrupted: what came is kept, and the same command goes on with it.",
        )
        raise SystemExit(code)


@commands.command()
def tag(
    ids: Ids,
    add: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Put this tag on each; may be given again.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take this tag off each; may be given again.")
    ] = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """Put tags on media, and take tags off them."""
    with _ending():
        from app.client import running
        from app.client.tagging import retag

        raise SystemExit(
            running.run(
                lambda origin: retag(ids, add=add or [], remove=remove or [], json=json, origin=origin),
                _origin(url),
            )
        )


@commands.command()
def tags(
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only tags that begin with this.")
    ] = None,
    rename: Annotated[
        tuple[str, str] | None, typer.Option(metavar="OLD NEW", help="Give a tag another name.")
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Delete this tag, from all media; may be given again."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    json: Json = False,
    url: Url = None,
) -> None:
    """List the tags with the number of media that carry them, or rename or delete some.

    Not in a terminal: a line for each, with tabs between id, name, slug and number. To delete asks in a
    terminal; elsewhere only --yes deletes.
    """
    with _ending():
        from app.client.tags import Options, run

        options = Options(search=search, rename=rename, delete=delete or [], yes=yes, json=json)
        raise SystemExit(run(options, _origin(url)))


@commands.command()
def rm(
    ids: Ids,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    json: Json = False,
    url: Url = None,
) -> None:
    """Delete media for good, with all that was made of them.

    Asks in a terminal; elsewhere only --yes deletes.
    """
    with _ending():
        from app.client.removal import run

        raise SystemExit(run(ids, yes=yes, json=json, origin=_origin(url)))


@commands.command()
def retry(ids: Ids, json: Json = False, url: Url = None) -> None:
    """Process media again that FAILED or were cancelled."""
    with _ending():
        from app.client import running
        from app.client.processing import retry as process

        raise SystemExit(running.run(lambda origin: process(ids, json=json, origin=origin), _origin(url)))


@commands.command()
def cancel(ids: Ids, json: Json = False, url: Url = None) -> None:
    """End the processing of media: they fail as CANCELLED, and `retry` takes them up again."""
    with _ending():
        from app.client import running
        from app.client.processing import cancel as end

        raise SystemExit(running.run(lambda origin: end(ids, json=json, origin=origin), _origin(url)))


def _origin(url: str | None) -> str:
    """Where the service is; the settings are read only where nobody says it."""
    if url:
        return url
    from app.settings import read_settings

    return read_settings().origin


@contextmanager
def _ending() -> Iterator[None]:
    """Ctrl-C while the command's own modules are loaded is no accident either."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None
