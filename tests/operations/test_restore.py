"""A restore puts an installation back whole, or leaves the target as it was; old cursors end in RESYNC."""

import asyncio
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from pydantic import SecretStr

from app.embedded_postgres import asyncpg_dsn
from app.operations.archive import ArchiveReader, ArchiveWriter
from app.operations.backup import back_up
from app.operations.errors import OperationError
from app.operations.postgres_programs import restore_dump
from app.operations.restore import restore
from app.operations.unfinished import Mark, read_mark, write_mark
from app.runtime import migrate_database
from app.settings import Settings
from db.migrate import _config, expected_revision
from db.sessions import create_engine
from storage.disk_tree import DiskTree
from tests import pictures
from tests.operations.commands import Operations
from tests.operations.tcp_postgres import tcp_postgres
from tests.operations.test_restored_library import age_media, paths, statuses
from tests.service.client import Client
from tests.service.conftest import StartService, until_unused
from tests.service.patience import until
from tests.service.service import Service
from tests.service.test_publishing import published

PASSWORD = "canary-password-4711"
KEY = "owner/2026/01/02/blob.png"


@pytest.fixture
async def database() -> AsyncIterator[str]:
    async with tcp_postgres(PASSWORD) as url:
        yield url


def settings(data_dir: Path, url: str | None = None) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir, database_url=SecretStr(url) if url else None)


def forge(path: Path, parts: dict[str, bytes], **manifest: object) -> None:
    """An archive whose sums are right, whatever it holds."""
    fields: dict[str, object] = {
        "darkroom": "9.9.9",
        "revision": "0002",
        "postgresql": 18,
        "created_at": "2026-01-02T03:04:05+00:00",
        "media": 0,
        "objects": len(parts) - 1,
        "object_bytes": 0,
        "missing": 0,
    }
    with path.open("wb") as file, ArchiveWriter(file, spool_dir=path.parent) as writer:
        for name, data in parts.items():
            writer.add(name, io.BytesIO(data), byte_size=len(data), mtime_ns=0)
        writer.finish({**fields, **manifest}, mtime_ns=0)


async def refusal(directory: Path, archive: Path) -> str:
    """The sentence of a restore that must fail before it has touched anything."""
    target = directory / "target"
    with pytest.raises(OperationError) as refused:
        await restore(settings(target), archive)
    assert not target.exists()
    return str(refused.value)


async def test_a_cursor_from_after_the_backup_is_answered_with_resync(
    service: Service, client: Client, operations: Operations, archive: Path, start_service: StartService
) -> None:
    kept = await client.upload(pictures.png(200, 100))
    await client.becomes_ready(kept)
    assert (await operations.backup(service.data_dir, archive)).code == 0
    await client.becomes_ready(await client.upload(pictures.png(210, 100)))
    cursor = await client.live_cursor()

    # With the same secret, so that it is the epoch that tells, not the signature.
    secret = (service.data_dir / "secret").read_text()
    fresh = operations.directory / "fresh"
    assert (await operations.restore(fresh, archive)).code == 0
    restored = start_service(fresh, DARKROOM_SECRET=secret)
    await restored.start()
    async with Client(restored.origin) as reader:
        assert (await reader.media(kept)).status == "READY"
        await reader.becomes_ready(await reader.upload(pictures.png(220, 100)))
        stream = reader.follow_library()
        stream.cursor = cursor
        await stream.read_through(lambda seen: len(seen.events) > 0)
        assert stream.events[0].type == "RESYNC"

        stream = reader.follow_library()
        stream.cursor = await reader.live_cursor()
        await reader.upload(pictures.png(230, 100))
        await stream.read_through(lambda seen: len(seen.events) > 0)
        assert stream.events[0].type == "CREATED"


@pytest.mark.parametrize("place", ["objects.restoring", "objects", "restore.unfinished"])
async def test_after_a_kill_nothing_is_served_and_a_second_restore_works(
    place: str,
    service: Service,
    client: Client,
    operations: Operations,
    archive: Path,
    start_service: StartService,
) -> None:
    media_id = await client.upload(pictures.png(900, 700), visibility="PUBLIC")
    await client.becomes_ready(media_id)
    addresses = paths(await published(client, media_id))
    await age_media(service)
    assert (await operations.backup(service.data_dir, archive)).code == 0
    fresh = operations.directory / "fresh"
    process = await operations.start("restore", archive, DARKROOM_DATA_DIR=str(fresh))
    await until(lambda: (fresh / place).exists(), seconds=60)
    process.kill()
    await process.communicate()
    await until_unused(fresh)

    if read_mark(fresh) is not None:  # else it was quicker than the kill
        early = start_service(fresh)
        early.launch()
        assert await early.ends() == 1
        assert "A restore of backup.tar into" in early.stderr
        assert "was interrupted" in early.stderr
        again = await operations.restore(fresh, archive)
        assert again.code == 0, again.stderr
    assert read_mark(fresh) is None
    restored = start_service(fresh)
    await restored.start()
    async with Client(restored.origin) as reader:
        media = await reader.becomes_ready(media_id)
        assert (await reader.get(media.renditions[0].url)).status_code == 200
        await published(reader, media_id)
        assert await statuses(reader, addresses) == {200}


async def test_a_restore_killed_at_its_very_end_is_only_finished(
    database: str, operations: Operations, archive: Path
) -> None:
    await make_installation(operations.directory / "var", database)
    await back_up(settings(operations.directory / "var", database), archive, force=False)
    other = await new_database(database, "other")
    fresh = operations.directory / "fresh"
    done = await restore(settings(fresh, other), archive)
    assert not done.finished_only
    await execute(other, "UPDATE event_log SET home = NULL")
    sums = ArchiveReader(archive).read_manifest().sums_sha256
    write_mark(fresh, Mark(archive=archive.name, sums_sha256=sums))
    assert (await restore(settings(fresh, other), archive)).finished_only
    assert read_mark(fresh) is None
    assert (fresh / "objects" / KEY).read_bytes() == b"the bytes"

    # A mark beside a database that has been served from is not ours to finish.
    write_mark(fresh, Mark(archive=archive.name, sums_sha256=sums))
    with pytest.raises(OperationError, match=r"The target is not empty: .* remove .*restore\.unfinished"):
        await restore(settings(fresh, other), archive)


async def test_by_an_address_with_a_password_and_from_an_older_revision(
    database: str, operations: Operations, archive: Path
) -> None:
    var, fresh = operations.directory / "var", operations.directory / "fresh"
    await make_installation(var, database, revision="0001")
    said = await operations.backup(var, archive, "--json", DARKROOM_DATABASE_URL=database)
    assert (said.code, said.stderr) == (0, "")
    assert said.document["revision"] == "0001"

    other = await new_database(database, "other")
    epoch = await fetchval(database, "SELECT epoch FROM event_log")
    for own in (".incoming", ".multipart"):  # a store that was emptied keeps its own directories
        (fresh / "objects" / own).mkdir(parents=True)
    restored = await operations.restore(fresh, archive, "--json", DARKROOM_DATABASE_URL=other)
    assert (restored.code, restored.stderr) == (0, "")
    assert restored.document["archivedRevision"] == "0001"
    assert restored.document["revision"] == expected_revision()
    assert await fetchval(other, "SELECT version_num FROM alembic_version") == expected_revision()
    assert await fetchval(other, "SELECT epoch FROM event_log") != epoch
    assert await fetchval(other, "SELECT username FROM users") == "somebody"
    assert (fresh / "objects" / KEY).read_bytes() == b"the bytes"
    was, now = (var / "objects" / KEY).stat(), (fresh / "objects" / KEY).stat()
    assert now.st_mtime_ns == was.st_mtime_ns  # the ETag is made of it

    again = await operations.restore(fresh, archive, DARKROOM_DATABASE_URL=other)
    assert again.code == 1
    assert again.stderr.startswith("The target is not empty: ")
    elsewhere = operations.directory / "elsewhere"
    full_database = await operations.restore(elsewhere, archive, DARKROOM_DATABASE_URL=other)
    assert full_database.stderr.startswith("The target is not empty: ")
    wrong = await operations.restore(elsewhere, archive, DARKROOM_DATABASE_URL=other.replace("4711", "0815"))
    assert wrong.stderr.startswith("The database can't be reached: password authentication failed")
    for output in (said, restored, again, full_database, wrong):
        assert "canary" not in output.stdout + output.stderr


async def test_a_dump_that_fails_leaves_the_target_as_it_was(
    database: str, operations: Operations, archive: Path
) -> None:
    forge(archive, {"database.dump": b"no dump", f"objects/{KEY}": b"x"})
    fresh = operations.directory / "fresh"
    with pytest.raises(OperationError, match="pg_restore failed: "):
        await restore(settings(fresh, database), archive)
    assert [path.name for path in fresh.iterdir()] == ["restore.lock"]
    assert await fetchval(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_what_a_dump_makes_the_programs_say_does_not_reach_the_terminal(
    database: str, operations: Operations, archive: Path
) -> None:
    """A dump is foreign code, and PostgreSQL's complaints repeat the names in it."""
    await make_installation(operations.directory / "var", database)
    await back_up(settings(operations.directory / "var", database), archive, force=False)
    other = await new_database(database, "other")
    with tempfile.TemporaryFile() as file:
        parts = ArchiveReader(archive).content()
        file.write(next(parts).file.read())
        with pytest.raises(OperationError) as refused:
            await restore_dump(other, file, then=f'DROP TABLE "{ESCAPES}"')
    assert "does not exist" in str(refused.value)
    assert str(refused.value).isprintable()


async def test_a_newer_server_s_dump_is_refused(database: str, operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"}, postgresql=19)
    fresh = operations.directory / "fresh"
    with pytest.raises(OperationError, match="made of a PostgreSQL 19 and the server is PostgreSQL 18"):
        await restore(settings(fresh, database), archive)


async def test_an_archive_of_newer_code_is_refused(operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"}, revision="0999")
    said = await refusal(operations.directory, archive)
    assert said.startswith("The archive is of Darkroom 9.9.9, with a database of revision 0999; ")


ESCAPES = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("darkroom", ESCAPES), ("darkroom", 1), ("darkroom", "1.0\n"), ("darkroom", "x" * 65)),
        *(("revision", ESCAPES), ("revision", None), ("revision", "x" * 65), ("revision", "")),
        *(("created_at", ESCAPES), ("created_at", 0), ("created_at", "2026-13-02T03:04:05+00:00")),
        *(("postgresql", "18"), ("postgresql", True), ("media", 1.5), ("objects", -1), ("missing", 10**30)),
        ("unknown", 1),
    ],
)
async def test_a_manifest_is_believed_field_by_field(
    field: str, value: object, operations: Operations, archive: Path
) -> None:
    forge(archive, {"database.dump": b"x"})
    rewrite_manifest(archive, **{field: value})
    said = await refusal(operations.directory, archive)
    assert said == f"{archive} is damaged: manifest.json is not what it was. Nothing was restored."


@pytest.mark.parametrize(
    "version", [ESCAPES, ["\x1b[2J"], {"a": "\x1b"}, None, True, 1.0, 0, 10**30], ids=repr
)
async def test_a_format_is_a_number(version: object, operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"})
    rewrite_manifest(archive, format=version)
    assert "manifest.json is not what it was" in await refusal(operations.directory, archive)


async def test_another_format_is_named(operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"})
    rewrite_manifest(archive, format=2, shape="another")
    said = await refusal(operations.directory, archive)
    assert said == f"{archive} has format 2 and this Darkroom reads 1: use its own version."


@pytest.mark.parametrize("document", [b"[]", b"null", b"[" * 60_000, b"{}", b"\xff"])
async def test_what_is_no_manifest_is_refused(document: bytes, operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"})
    replace_part(archive, "manifest.json", document)
    assert "manifest.json is not what it was" in await refusal(operations.directory, archive)


async def test_names_in_the_sums_do_not_reach_the_terminal(operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"})
    line = f"{'0' * 64}  {ESCAPES}\n".encode()
    with tarfile.open(archive) as tar:
        sums = tar.extractfile("SHA256SUMS")
        assert sums is not None
        lengthened = sums.read() + line
    replace_part(archive, "SHA256SUMS", lengthened)
    rewrite_manifest(archive, sums_sha256=hashlib.sha256(lengthened).hexdigest())
    said = await refusal(operations.directory, archive)
    assert said.isprintable()
    assert said == f"{archive} is damaged: {ESCAPES!r} is not what it was. Nothing was restored."


@pytest.mark.parametrize("mtime", ["inf", "nan", "-1", "9" * 400, "9" * 5000, "1e300", "\u0661"])
async def test_a_time_that_no_file_has_is_none(mtime: str, operations: Operations, archive: Path) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("database.dump")
        info.pax_headers = {"mtime": mtime}
        tar.addfile(info)
    [part] = ArchiveReader(archive).content()
    assert part.mtime_ns == 0


def rewrite_manifest(archive: Path, **fields: object) -> None:
    with tarfile.open(archive) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        manifest = json.loads(file.read())
    replace_part(archive, "manifest.json", json.dumps({**manifest, **fields}).encode())


def replace_part(archive: Path, name: str, data: bytes) -> None:
    with tarfile.open(archive) as tar:
        parts = [(member, tar.extractfile(member)) for member in tar]
        kept = [(member, file.read() if file else b"") for member, file in parts]
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in kept:
            content = data if member.name == name else content
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    "name",
    [
        *("objects/../../evil.png", "objects//etc/passwd", "objects/.incoming/x", "objects/A.png"),
        *("/etc/passwd", "../evil", "secret", "objects/"),
    ],
)
async def test_what_is_no_key_is_refused(name: str, operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x", name: b"evil"})
    said = await refusal(operations.directory, archive)
    assert said == f"{archive} holds {name!r}, which no backup of Darkroom does. Nothing was restored."


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
async def test_what_is_no_file_is_refused(kind: bytes, operations: Operations, archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo(f"objects/{KEY}")
        link.type, link.linkname = kind, "/etc/passwd"
        tar.addfile(link)
    assert "which no backup of Darkroom does" in await refusal(operations.directory, archive)


async def test_the_dump_comes_first(operations: Operations, archive: Path) -> None:
    forge(archive, {f"objects/{KEY}": b"x", "database.dump": b"x"})
    assert "which no backup of Darkroom does" in await refusal(operations.directory, archive)


@pytest.mark.parametrize("part", ["database.dump", f"objects/{KEY}", "SHA256SUMS"])
async def test_a_part_that_was_altered_is_named(part: str, operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"d" * 600, f"objects/{KEY}": b"o" * 600})
    with tarfile.open(archive) as tar:
        offset = tar.getmember(part).offset_data
    data = bytearray(archive.read_bytes())
    data[offset] ^= 1
    archive.write_bytes(data)
    said = await refusal(operations.directory, archive)
    assert said == f"{archive} is damaged: {part} is not what it was. Nothing was restored."


@pytest.mark.parametrize("part", ["database.dump", f"objects/{KEY}"])
async def test_what_is_placed_is_what_was_verified(
    part: str, database: str, operations: Operations, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes into the archive while it is restored."""
    await make_installation(operations.directory / "var", database)
    await back_up(settings(operations.directory / "var", database), archive, force=False)
    with tarfile.open(archive) as tar:
        offset = tar.getmember(part).offset_data

    def write_mark_and_alter(data_dir: Path, mark: Mark) -> None:
        write_mark(data_dir, mark)
        data = bytearray(archive.read_bytes())
        data[offset + 8] ^= 1
        archive.write_bytes(data)

    monkeypatch.setattr("app.operations.restore.write_mark", write_mark_and_alter)
    fresh, other = operations.directory / "fresh", await new_database(database, "other")
    with pytest.raises(OperationError, match=r"backup\.tar has changed while it was read"):
        await restore(settings(fresh, other), archive)
    assert [path.name for path in fresh.iterdir()] == ["restore.lock"]
    assert await fetchval(other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_an_archive_that_was_cut_short_is_refused_wherever(
    operations: Operations, archive: Path
) -> None:
    forge(archive, {"database.dump": b"d" * 2000, f"objects/{KEY}": b"o" * 3000})
    whole = archive.read_bytes()
    with tarfile.open(archive) as tar:
        end = tar.getmember("manifest.json").offset_data + 300
    for length in range(0, end, 512):
        archive.write_bytes(whole[:length])
        said = await refusal(operations.directory, archive)
        assert "cut short" in said or "is damaged" in said


async def test_what_is_no_archive_is_refused(operations: Operations, archive: Path) -> None:
    assert "can't be read: No such file" in await refusal(operations.directory, archive)
    archive.write_bytes(b"something else entirely")
    assert "is no backup of Darkroom" in await refusal(operations.directory, archive)


async def test_one_restore_at_a_time(database: str, operations: Operations, archive: Path) -> None:
    forge(archive, {"database.dump": b"x"})
    fresh = settings(operations.directory / "fresh", database)
    both = await asyncio.gather(restore(fresh, archive), restore(fresh, archive), return_exceptions=True)
    assert any("is under way" in str(each) for each in both)


async def make_installation(data_dir: Path, url: str, *, revision: str | None = None) -> None:
    """A database at a revision, with a user in it and an object that a row names."""
    if revision is None:
        await migrate_database(settings(data_dir, url))
    else:
        engine = create_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(lambda sync: command.upgrade(_config(sync), revision))
        await engine.dispose()
    await execute(url, "INSERT INTO users VALUES (gen_random_uuid(), 'somebody', 'ADMIN', now())")
    await execute(
        url,
        "INSERT INTO blobs (id, owner_id, key, size, created_at)"
        f" SELECT gen_random_uuid(), id, '{KEY}', 9, now() FROM users",
    )
    tree = DiskTree(data_dir / "objects")
    (tree.incoming / "x").write_bytes(b"the bytes")
    tree.replace(tree.incoming / "x", KEY)


async def new_database(url: str, name: str) -> str:
    await execute(url, f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    await connection.execute(statement)
    await connection.close()


async def fetchval(url: str, query: str) -> Any:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
