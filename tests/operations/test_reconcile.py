"""`reconcile` on a running service: exactly the damage is told, and put right as far as it can be."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from schema.ids import parse_id
from tests import pictures
from tests.operations.commands import Operations, Said
from tests.service.client import Client
from tests.service.service import Service

HOURS = 3600.0

ORIGINAL = "SELECT key FROM blobs JOIN media ON media.blob_id = blobs.id WHERE media.id = $1"
RENDITIONS = """
    SELECT renditions.key FROM renditions JOIN media USING (blob_id)
    WHERE media.id = $1 ORDER BY key
"""
PREFIX = "SELECT prefix FROM publications WHERE published_at IS NOT NULL"


class Objects:
    """The files of a disk store, damaged past the service."""

    def __init__(self, root: Path, aside: Path) -> None:
        self.root = root
        self._aside = aside
        self._taken: list[str] = []

    def add(self, key: str, *, hours: float) -> str:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")
        moment = time.time() - hours * HOURS
        os.utime(path, (moment, moment))
        return key

    def take(self, key: str) -> str:
        shutil.move(self.root / key, self._aside / key.replace("/", "_"))
        self._taken.append(key)
        return key

    def bring_back(self) -> None:
        for key in self._taken:
            shutil.move(self._aside / key.replace("/", "_"), self.root / key)

    def has(self, key: str) -> bool:
        return (self.root / key).is_file()


@pytest.fixture
def objects(service: Service, operations: Operations) -> Objects:
    aside = operations.directory / "aside"
    aside.mkdir()
    return Objects(service.data_dir / "objects", aside)


async def reconcile(operations: Operations, service: Service, *options: str) -> Said:
    return await operations.run("reconcile", *options, DARKROOM_DATA_DIR=str(service.data_dir))


def found(said: Said) -> dict[str, tuple[int, list[str]]]:
    differences: dict[str, Any] = said.document["differences"]
    return {
        name: (tally["mended"], tally["examples"]) for name, tally in differences.items() if tally["count"]
    }


async def key_of(service: Service, query: str, media_id: str) -> str:
    return str((await service.fetch(query, parse_id(media_id)[1]))[0]["key"])


async def test_damage_on_both_sides_is_told_mended_and_gone(
    service: Service, client: Client, operations: Operations, objects: Objects
) -> None:
    first = await client.upload(pictures.jpeg(640, 480))
    second = await client.upload(pictures.jpeg(600, 400))
    public = await client.upload(pictures.jpeg(500, 400), visibility="PUBLIC")
    for media_id in (first, second, public):
        await client.becomes_ready(media_id)
    async with asyncio.timeout(30):
        while not (prefixes := await service.fetch(PREFIX)):
            await asyncio.sleep(0.05)
    clean = await reconcile(operations, service)
    assert (clean.code, clean.stdout.splitlines()[1:]) == (0, ["Nothing differs."]), clean.stderr

    original = await key_of(service, ORIGINAL, first)
    directory = original.rpartition("/")[0]
    rendition = objects.take(await key_of(service, RENDITIONS, second))
    prefix = prefixes[0]["prefix"]
    copy = objects.take(
        next(str(path.relative_to(objects.root)) for path in (objects.root / prefix).glob("*/*.webp"))
    )
    objects.take(original)
    orphans = [
        objects.add(f"{directory}/{uuid4()}.jpg", hours=4),
        objects.add(f"{original.rpartition('.')[0]}/image-0/webp-320.webp", hours=4),
    ]
    orphan_copy = objects.add(f"public/{'0' * 40}/image-1/webp-320.webp", hours=4)
    young = objects.add(f"{directory}/{uuid4()}.jpg", hours=2)
    foreign = objects.add("notes/shopping.txt", hours=400)
    missing = {"missingOriginal": (0, [original]), "missingRendition": (0, [rendition])}

    said = await reconcile(operations, service, "--json")
    assert said.code == 1, said.stderr
    assert found(said) == {
        "orphan": (0, sorted(orphans)),
        "orphanCopy": (0, [orphan_copy]),
        "foreign": (0, [foreign]),
        "missingCopy": (0, [copy]),
        **missing,
    }
    assert said.document["young"] == 1
    assert all(map(objects.has, [*orphans, orphan_copy, young, foreign]))

    said = await reconcile(operations, service, "--apply", "--json")
    assert said.code == 1, said.stderr
    assert found(said) == {
        "orphan": (2, sorted(orphans)),
        "orphanCopy": (1, [orphan_copy]),
        "foreign": (0, [foreign]),
        "missingCopy": (1, [copy]),
        **missing,
    }
    assert [objects.has(key) for key in (*orphans, orphan_copy, young, foreign)] == [False] * 3 + [True] * 2
    async with asyncio.timeout(30):
        while not objects.has(copy):
            await asyncio.sleep(0.05)
    said = await reconcile(operations, service)
    assert said.code == 1
    assert "  Originals that are not in the store: 1, " in said.stdout
    assert f"      {original}\n    Restore it from a backup" in said.stdout

    objects.bring_back()
    said = await reconcile(operations, service, "--json")
    assert (said.code, found(said)) == (0, {"foreign": (0, [foreign])})
