"""A program that uses the embedded PostgreSQL: `python -m tests.processes.postgres_user <data directory>`.

It says READY with the URL (or ERROR with the sentence). Then each line `add` of its input inserts a row and
is answered with the number of rows; the end of the input makes it leave in good order.
"""

import asyncio
import sys
import time
from pathlib import Path

import asyncpg

from app.embedded_postgres import EmbeddedPostgresError, asyncpg_dsn, embedded_postgres

PATIENCE_S = 20.0


async def main(data_dir: Path) -> None:
    try:
        async with embedded_postgres(data_dir) as url:
            await _query(url, "CREATE TABLE IF NOT EXISTS rows (id serial)")
            _say(f"READY {url}")
            while (await asyncio.to_thread(sys.stdin.readline)).strip() == "add":
                _say(f"ROWS {await _add(url)}")
    except EmbeddedPostgresError as error:
        _say(f"ERROR {error}")


async def _add(url: str) -> object:
    """Insert and count, again and again while the server is coming back."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await _query(url, "INSERT INTO rows DEFAULT VALUES", "SELECT count(*) FROM rows")
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def _query(url: str, *statements: str) -> object:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        # The first connections may race each other for the same table.
        await connection.execute("SELECT pg_advisory_lock(1)")
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
