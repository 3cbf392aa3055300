"""The page without Darkroom: raw ASGI, asyncpg with two prepared statements, orjson.

`python -m bench.raw_endpoint PORT DSN OWNER` answers each POST with the bytes that Darkroom's answer to the
same page has. It is a limit, not a proposal: there is no schema, no validation and no error handling in it.
"""

import asyncio
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

#: As many connections as Darkroom's pool keeps.
POOL_SIZE = 8

PAGE = """
    SELECT id, version, kind, status, filename, mime_type, size, title, description, created_at
    FROM media
    WHERE owner_id = $1 AND status = 'READY' AND EXISTS (
        SELECT FROM media_tags JOIN tags ON tags.id = tag_id
        WHERE media_id = media.id AND tags.owner_id = $1 AND slug = ANY($2)
    )
    ORDER BY created_at DESC, id DESC LIMIT $3
"""
TAGS = """
    SELECT media_id, name, slug FROM media_tags JOIN tags ON tags.id = tag_id
    WHERE media_id = ANY($1) ORDER BY name, tags.id
"""


#: Answers the body of a request on behalf of an owner.
Handler = Callable[["asyncpg.Pool[asyncpg.Record]", UUID, bytes], Awaitable[bytes]]


async def page(pool: "asyncpg.Pool[asyncpg.Record]", owner_id: UUID, body: bytes) -> bytes:
    variables = orjson.loads(body)["variables"]
    size = variables["first"]
    async with pool.acquire() as connection:
        rows = await connection.fetch(PAGE, owner_id, variables["filter"]["tags"]["all"], size + 1)
        media = rows[:size]
        tags: dict[UUID, list[dict[str, str]]] = {row["id"]: [] for row in media}
        for media_id, name, slug in await connection.fetch(TAGS, list(tags)):
            tags[media_id].append({"name": name, "slug": slug})
    nodes = [
        {
            "id": b64encode(f"Media:{row['id']}".encode()).decode(),
            "version": row["version"],
            "kind": row["kind"],
            "status": row["status"],
            "filename": row["filename"],
            "mimeType": row["mime_type"],
            "size": row["size"],
            "title": row["title"],
            "description": row["description"],
            "createdAt": row["created_at"],
            "tags": tags[row["id"]],
        }
        for row in media
    ]
    items = {"nodes": nodes, "pageInfo": {"hasNextPage": len(rows) > size}}
    return orjson.dumps({"data": {"mediaItems": items}})


@asynccontextmanager
async def endpoint(dsn: str, owner_id: UUID, handle: Handler) -> AsyncIterator[ASGIApp]:
    async with asyncpg.create_pool(
        dsn, min_size=POOL_SIZE, max_size=POOL_SIZE, server_settings={"timezone": "UTC"}
    ) as pool:

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            content = await handle(pool, owner_id, body)
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})

        yield answer


async def serve(port: int, dsn: str, owner_id: UUID, handle: Handler = page) -> None:
    async with endpoint(dsn, owner_id, handle) as app:
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], UUID(sys.argv[3])))
