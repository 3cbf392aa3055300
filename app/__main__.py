"""The command line: `darkroom …`, or `python -m app …`."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import typer

from app.cli.client import commands as client_commands
from app.cli.completion import PROGRAM
from app.cli.completion import commands as completion_commands
from app.operations.commands import register as register_operations

if TYPE_CHECKING:  # every command imports what it needs: the client starts in half the time
    from app.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Darkroom, a self-hosted media service.",
    epilog="Exit codes: 0 all is well, 1 something failed, 2 wrong usage, 130 interrupted.",
)
app.add_typer(client_commands)
app.add_typer(completion_commands)
register_operations(app)


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
def events() -> None:
    """Only follow the storage's events and finalize what they tell of, until Ctrl-C."""
    from app.serve import follow_events

    _run(follow_events(_settings()))


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
    from app.settings import read_settings

    settings = read_settings()
    configure_logs(settings.log_level)
    return settings


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what a person can mend is said in a sentence."""
    import uvloop

    from app.embedded_postgres import EmbeddedPostgresError
    from app.operations.errors import OperationError
    from db.migrate import DatabaseInUseError, WrongRevisionError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except (DatabaseInUseError, EmbeddedPostgresError, OperationError, WrongRevisionError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    app(prog_name=PROGRAM)
