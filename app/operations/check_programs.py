"""pg_dump, pg_restore and psql: backup and restore use those of the wheel, whatever server there is."""

import asyncio
import subprocess

from app.embedded_postgres import EmbeddedPostgresError
from app.operations.findings import Finding, ok, problem
from app.operations.postgres_programs import program_path
from app.postgres_cluster import program_environment
from app.settings import Settings

PROGRAMS = ("pg_dump", "pg_restore", "psql")


async def check(settings: Settings) -> list[Finding]:
    return [await asyncio.to_thread(check_programs)]


def check_programs() -> Finding:
    for name in PROGRAMS:
        try:
            subprocess.run(
                [program_path(name), "--version"],
                env=program_environment(),
                capture_output=True,
                timeout=10,
                check=True,
            )
        except (EmbeddedPostgresError, OSError, subprocess.SubprocessError) as error:
            sentence = f"{name} can't be run, so there are no backups: {error}"
            return problem("programs", sentence, "Run make setup.")
    return ok("programs", "pg_dump, pg_restore and psql can be run: backups can be made and restored.")
