"""What only the S3 store has: large files in parts, encryption, types and ages of objects, many keys."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storage import s3, s3_transfer
from storage.errors import StorageError, StorageUnavailableError
from storage.objects import MIN_PART_BYTES
from storage.s3 import S3Store, open_s3_store
from storage.s3_client import S3Client
from tests.contracts.object_store import RunningStore, send_part, sha256, stored_bytes, upload
from tests.contracts.s3_store import running_s3_store, s3_options
from tests.ministack import aws_client, bucket, ministack

__all__ = ["bucket", "ministack"]

KEY = "0197/2026/11/20/film.mp4"
PUBLIC = "public/5f2c/image-1/webp-320.webp"


@pytest.fixture
async def store(ministack: str, bucket: str) -> AsyncIterator[S3Store]:
    async with open_s3_store(s3_options(ministack, bucket)) as store:
        yield store


@pytest.fixture
async def running(ministack: str) -> AsyncIterator[RunningStore]:
    async with running_s3_store(ministack) as running:
        yield running


@pytest.fixture
async def raw(ministack: str) -> AsyncIterator[Any]:
    async with aws_client(ministack, "s3") as client:
        yield client


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of a few mebibytes is a large one."""
    monkeypatch.setattr(s3_transfer, "SENT_PART_BYTES", MIN_PART_BYTES)
    monkeypatch.setattr(s3, "COPIED_PART_BYTES", MIN_PART_BYTES)


@pytest.mark.usefixtures("small_parts")
async def test_a_large_file_is_sent_and_copied_in_parts(
    store: S3Store, raw: Any, bucket: str, tmp_path: Path
) -> None:
    data = random.Random(7).randbytes(2 * MIN_PART_BYTES + 1_000)
    (tmp_path / "source").write_bytes(data)
    sent = await store.put_file(KEY, tmp_path / "source", content_type="video/mp4")
    copied = await store.copy(KEY, PUBLIC, content_type="image/webp", if_etag=sent.etag)
    for info in (sent, copied):
        assert info.byte_size == len(data)
        assert info.etag.endswith("-3")
        fetched = await store.fetch(info.key, tmp_path / f"fetched-{info.key[:4]}")
        assert fetched.sha256 == sha256(data)
    head = await raw.head_object(Bucket=bucket, Key=PUBLIC)
    assert head["ContentType"] == "image/webp"
    assert head["CacheControl"] == "public, max-age=86400, immutable"
    assert [each async for each in store.list_multiparts("")] == []


@pytest.mark.usefixtures("small_parts")
async def test_a_large_file_that_can_not_be_sent_leaves_no_upload(store: S3Store, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes(2 * MIN_PART_BYTES))
    real = s3_transfer._summed

    def shorter(source: Any, offset: int, byte_size: int) -> Any:
        if offset:
            path.write_bytes(b"shorter")
        return real(source, offset, byte_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_transfer, "_summed", shorter)
        with pytest.raises(OSError, match="shorter"):
            await store.put_file(KEY, path, content_type="video/mp4")
    assert [each async for each in store.list_multiparts("")] == []
    assert await store.head(KEY) is None


async def test_objects_are_stored_with_type_and_age(
    store: S3Store, raw: Any, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"abc")
    await store.put_file(KEY, tmp_path / "source", content_type="video/mp4")
    await store.copy(KEY, PUBLIC, content_type="image/webp")
    private = await raw.head_object(Bucket=bucket, Key=KEY)
    public = await raw.head_object(Bucket=bucket, Key=PUBLIC)
    assert (private["ContentType"], private["CacheControl"]) == (
        "video/mp4",
        "private, max-age=86400, immutable",
    )
    assert (public["ContentType"], public["CacheControl"]) == (
        "image/webp",
        "public, max-age=86400, immutable",
    )


async def test_encryption_reaches_every_object(ministack: str, bucket: str, raw: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"abc")
    async with open_s3_store(s3_options(ministack, bucket, encryption="AES256")) as store:
        await store.put_file(KEY, tmp_path / "source", content_type="video/mp4")
        await store.copy(KEY, PUBLIC, content_type="image/webp")
        upload_id = await store.create_multipart("0197/parts", content_type="a/b", part_hashes=False)
        await store.copy_part("0197/parts", upload_id, 1, source=KEY, offset=0, length=3)
        parts = await store.list_parts("0197/parts", upload_id)
        await store.complete_multipart("0197/parts", upload_id, parts, content_type="a/b")
    for key in (KEY, PUBLIC, "0197/parts"):
        head = await raw.head_object(Bucket=bucket, Key=key)
        assert head["ServerSideEncryption"] == "AES256"


KMS = {"encryption": "aws:kms", "kms_key_id": "alias/photos"}


async def test_what_is_public_is_not_encrypted_with_a_key_that_strangers_lack(
    ministack: str, bucket: str, raw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 refuses to give objects under aws:kms to whoever comes unsigned."""
    monkeypatch.setattr(s3, "COPIED_PART_BYTES", MIN_PART_BYTES)
    (tmp_path / "source").write_bytes(bytes(MIN_PART_BYTES + 1))
    (tmp_path / "small").write_bytes(b"abc")
    async with open_s3_store(s3_options(ministack, bucket, **KMS)) as store:
        await store.put_file(KEY, tmp_path / "source", content_type="video/mp4")
        await store.put_file("0197/small", tmp_path / "small", content_type="video/mp4")
        await store.copy(KEY, PUBLIC, content_type="image/webp")
        await store.copy("0197/small", "public/small", content_type="image/webp")
        await store.put_file("public/put", tmp_path / "small", content_type="video/mp4")
    for key, expected in {
        KEY: "aws:kms",
        "0197/small": "aws:kms",
        PUBLIC: "AES256",
        "public/small": "AES256",
        "public/put": "AES256",
    }.items():
        head = await raw.head_object(Bucket=bucket, Key=key)
        assert head["ServerSideEncryption"] == expected, key


async def test_the_check_writes_as_encrypted_as_everything_else(
    ministack: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket may refuse what comes without."""
    sent: list[dict[str, Any]] = []
    real = S3Client.raw

    async def raw(self: S3Client, operation: str, **params: Any) -> dict[str, Any]:
        if operation == "put_object":
            sent.append(params)
        return await real(self, operation, **params)

    monkeypatch.setattr(S3Client, "raw", raw)
    async with open_s3_store(s3_options(ministack, bucket, **KMS)) as store:
        await store.check()
    [params] = sent
    assert (params["ServerSideEncryption"], params["SSEKMSKeyId"]) == ("aws:kms", "alias/photos")


async def test_foreign_keys_are_not_listed(store: S3Store, raw: Any, bucket: str) -> None:
    for key in ("AWSLogs/1", ".darkroom/check-1", "ours/1", "a//b"):
        await raw.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [info.key async for info in store.list("")] == ["ours/1"]


async def test_more_keys_than_one_answer_holds(store: S3Store, raw: Any, bucket: str) -> None:
    keys = [f"many/{number:05}" for number in range(1_050)]
    for key in keys:
        await raw.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [info.key async for info in store.list("many/")] == keys
    await store.delete(keys)
    assert [info.key async for info in store.list("")] == []


async def test_more_parts_than_one_answer_holds(
    running: RunningStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand come at once; here two."""
    upload_id = await running.store.create_multipart(KEY, content_type="a/b", part_hashes=True)
    for number in range(1, 8):
        (await send_part(running, KEY, upload_id, number, b"part %d" % number)).raise_for_status()
    asked = _small_pages(monkeypatch, "list_parts", MaxParts=2)
    parts = await running.store.list_parts(KEY, upload_id)
    assert [part.number for part in parts] == list(range(1, 8))
    assert [part.sha256 for part in parts] == [sha256(b"part %d" % number) for number in range(1, 8)]
    assert len(asked) == 4


async def test_more_uploads_than_one_answer_holds(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = [
        (key, await store.create_multipart(key, content_type="a/b", part_hashes=False))
        for key in ("a/1", "a/2", "a/2", "a/2", "a/3", "b/1")
    ]
    asked = _small_pages(monkeypatch, "list_multipart_uploads", MaxUploads=2)
    found = [(each.key, each.upload_id) async for each in store.list_multiparts("a/")]
    assert sorted(found) == sorted(begun[:-1])
    assert [key for key, _ in found] == ["a/1", "a/2", "a/2", "a/2", "a/3"]
    assert len(asked) == 3


async def test_a_part_is_copied_with_one_call(running: RunningStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed gigabyte is made of hundreds of them."""
    await upload(running, KEY, b"abc")
    upload_id = await running.store.create_multipart("0197/parts", content_type="a/b", part_hashes=False)
    calls: list[str] = []
    real = S3Client.raw

    async def raw(self: S3Client, name: str, **params: Any) -> dict[str, Any]:
        calls.append(name)
        return await real(self, name, **params)

    monkeypatch.setattr(S3Client, "raw", raw)
    await running.store.copy_part("0197/parts", upload_id, 1, source=KEY, offset=0, length=3)
    assert calls == ["upload_part_copy"]


def _small_pages(monkeypatch: pytest.MonkeyPatch, operation: str, **size: int) -> list[str]:
    """Have the store answer that operation in small pages; returns what will list each asking."""
    asked: list[str] = []
    real = S3Client.raw

    async def raw(self: S3Client, name: str, **params: Any) -> dict[str, Any]:
        if name != operation:
            return await real(self, name, **params)
        asked.append(name)
        return await real(self, name, **size, **params)

    monkeypatch.setattr(S3Client, "raw", raw)
    return asked


async def test_the_check_writes_at_most_now_and_then(store: S3Store, raw: Any, bucket: str) -> None:
    await store.check()
    before = await raw.list_objects_v2(Bucket=bucket)
    assert before["KeyCount"] == 0
    await raw.delete_bucket(Bucket=bucket)
    await store.check()  # within the second in which the last answer holds
    await raw.create_bucket(Bucket=bucket)


async def test_without_conditions_a_taken_key_is_looked_for(ministack: str, tmp_path: Path) -> None:
    async with running_s3_store(ministack, conditional_writes=False) as running:
        await upload(running, KEY, b"first")
        await upload(running, KEY, b"second")
        assert await stored_bytes(running, KEY, tmp_path) == b"second"
        upload_id = await running.store.create_multipart(KEY, content_type="a/b", part_hashes=False)
        await running.store.copy_part(KEY, upload_id, 1, source=KEY, offset=0, length=3)
        parts = await running.store.list_parts(KEY, upload_id)
        with pytest.raises(StorageError, match="stored under this key already"):
            await running.store.complete_multipart(KEY, upload_id, parts, content_type="a/b")
        assert await running.store.list_parts(KEY, upload_id) == parts


async def test_without_credentials_there_is_no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    options = s3_options("http://127.0.0.1:9", "bucket", access_key_id=None, secret_access_key=None)
    with pytest.raises(StorageUnavailableError, match="DARKROOM_S3_ACCESS_KEY_ID"):
        async with open_s3_store(options):
            pass


async def test_credentials_come_from_the_environment_too(
    ministack: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    options = s3_options(ministack, bucket, access_key_id=None, secret_access_key=None)
    async with open_s3_store(options) as store:
        await store.check()
