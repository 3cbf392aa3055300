"""The command line: `python -m app …`."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # every command imports what it needs: the client starts in half the time
    from app.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Darkroom, a self-hosted media service.")


@app.command()
def serve() -> None:
    """Serve the API and process uploads, until Ctrl-C."""
    from app.serve import serve as run

    _run(run(_settings()))


@app.command()
def worker() -> None:
    """Only process uploads, until Ctrl-C."""
    from app.serve import work

    _run(work(_settings()))


@app.command()
def upload(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Pictures: JPEG, PNG, WebP, GIF, HEIC, HEIF, AVIF, TIFF, JPEG XL or SVG."),
    ],
    tag: Annotated[list[str] | None, typer.Option(help="Put this tag on each; may be given again.")] = None,
    title: Annotated[str | None, typer.Option(help="Give each this title.")] = None,
    watch: Annotated[bool, typer.Option(help="Follow each until it is READY or FAILED.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document a file on stdout.")] = False,
    url: Annotated[
        str | None,
        typer.Option(envvar="DARKROOM_URL", help="Where Darkroom is. Default: as in its settings."),
    ] = None,
) -> None:
    """Upload pictures and watch them develop."""
    try:
        from app.client.command import run

        origin = url or _read_settings().origin
        code = run(photos, tags=tag or [], title=title, watch=watch, json=json, origin=origin)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: what was not sent is given up, what was sent goes on.\n")
        code = 130
    raise SystemExit(code)


@app.command()
def migrate() -> None:
    """Bring the database to this version's revision."""
    from app.runtime import migrate_database

    _run(migrate_database(_settings()))


@app.command()
def sdl() -> None:
    """Print the schema."""
    from resolvers.root import schema

    sys.stdout.write(schema.as_str() + "\n")


@app.command("env-example")
def env_example() -> None:
    """Print every setting with its meaning and its default."""
    from app.env_example import render

    sys.stdout.write(render())


def _settings() -> "Settings":
    from app.logs import configure_logs

    settings = _read_settings()
    configure_logs(settings.log_level)
    return settings


def _read_settings() -> "Settings":
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "DARKROOM_" + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")
        raise SystemExit(2) from None


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what a person can mend is said in a sentence."""
    import uvloop

    from app.embedded_postgres import EmbeddedPostgresError
    from db.migrate import WrongRevisionError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except (EmbeddedPostgresError, WrongRevisionError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    app()
