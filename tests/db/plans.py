"""What PostgreSQL does for a statement: the plan it chose, and what running it met."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import event
from sqlmodel.ext.asyncio.session import AsyncSession

from db.sessions import Sessions

#: How a prepared statement is planned: each time for its values, once for all, or whichever seems cheaper.
MODES = ("force_custom_plan", "force_generic_plan", "auto")

#: In the mode auto, PostgreSQL compares the two kinds of plans after so many executions.
BEFORE_COMPARING = 5


@dataclass(frozen=True, slots=True)
class Plan:
    root: dict[str, Any]

    @property
    def nodes(self) -> Iterator[dict[str, Any]]:
        todo = [self.root]
        while todo:
            node = todo.pop()
            yield node
            todo += node.get("Plans", [])

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def scanned_whole(self) -> set[str]:
        """Tables that are read from the first row to the last."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"].endswith("Seq Scan")}

    @property
    def buffers(self) -> int:
        """Pages of tables and indexes that were looked at, wherever they came from."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    @property
    def rows_examined(self) -> int:
        """Rows of media that were fetched, whether they passed the filter or not."""
        return sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
            if node.get("Relation Name") == "media"
        )


async def plans_of(
    sessions: Sessions, call: Callable[[AsyncSession], Awaitable[object]], mode: str = "auto"
) -> list[Plan]:
    """The plans of the very statements that `call` sends, prepared and planned as asyncpg's are."""
    async with sessions() as session:
        connection = await session.connection()
        sent: list[tuple[str, Sequence[Any]]] = []

        def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            sent.append((statement, values))

        event.listen(connection.sync_connection, "before_cursor_execute", note)
        await call(session)
        raw = (await connection.get_raw_connection()).driver_connection
        assert isinstance(raw, asyncpg.Connection)
        await raw.execute(f"SET LOCAL plan_cache_mode = {mode}")
        return [await _plan(raw, statement, values, mode) for statement, values in sent]


async def _plan(connection: asyncpg.Connection, statement: str, values: Sequence[Any], mode: str) -> Plan:
    await connection.execute(f"PREPARE sent AS {statement}")
    execute = f"EXECUTE sent({', '.join(map(_written, values))})" if values else "EXECUTE sent"
    for _ in range(BEFORE_COMPARING if mode == "auto" else 0):
        await connection.execute(f"EXPLAIN {execute}")  # counts as an execution, and runs nothing
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}")
    await connection.execute("DEALLOCATE sent")
    [answer] = json.loads(explained) if isinstance(explained, str) else explained
    return Plan(answer["Plan"])


def _written(value: Any) -> str:
    """The parameters of EXECUTE can only be written out."""
    match value:
        case bool() | int():
            return str(value)
        case bytes():
            return f"'\\x{value.hex()}'::bytea"
        case [bytes(), *_]:
            return f"ARRAY[{', '.join(map(_written, value))}]"
        case list():
            return f"'{{{','.join(map(str, value))}}}'"
        case str() | UUID() | datetime():
            return "'" + str(value).replace("'", "''") + "'"
        case _:
            raise TypeError(f"How is a {type(value).__name__} written?")
