"""Files in parts, known files and proofs, against a service and a store that do as each test wants."""

import asyncio
import hashlib
import hmac
import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from app.client.endpoint import open_endpoint
from app.client.items import Item, new_items, resumed_items
from app.client.kept_uploads import KeptUploads, state_directory
from app.client.media import Status
from app.client.outcomes import Outcome
from app.client.progress import PlainProgress
from app.client.upload_api import UploadApi, Wishes
from app.client.uploads import Uploads
from app.launcher import launcher
from tests.client.fake_service import PART_BYTES, FakeService, fake_service, s3_error
from tests.serving import until

PARTS = 40
CONTENT = random.Random(1).randbytes(PART_BYTES * (PARTS - 1) + 1000)


@pytest.fixture
async def service() -> AsyncIterator[FakeService]:
    async with fake_service() as service:
        yield service


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mov"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def kept() -> KeptUploads:
    return KeptUploads(state_directory())


class Told(PlainProgress):
    """What a progress is told, for a command with one file."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.notes: list[str] = []
        self.announced: list[int] = []
        self.counts: list[tuple[int, int]] = []
        self.finalized = 0

    def note(self, number: int, what: str) -> None:
        self.notes.append(what)

    def sending(self, number: int, byte_size: int) -> None:
        self.announced.append(byte_size)

    def sent(self, number: int, done: int, byte_size: int) -> None:
        self.counts.append((done, byte_size))

    def finalizing(self, number: int) -> None:
        self.finalized += 1


async def run(
    service: FakeService,
    items: Sequence[Item],
    *,
    connections: int = 4,
    progress: PlainProgress | None = None,
) -> list[Outcome]:
    outcomes: list[Outcome] = []

    async def deliver(outcome: Outcome) -> None:
        outcomes.append(outcome)

    async with open_endpoint(UploadApi, service.origin) as api:
        progress = progress or PlainProgress([item.path.name for item in items])
        uploads = Uploads(
            api, items, KeptUploads(state_directory()), progress, watch=False, connections=connections
        )
        await uploads.run(deliver)
    return outcomes


async def send(service: FakeService, *paths: Path, connections: int = 4) -> list[Outcome]:
    return await run(service, new_items(paths, Wishes(tags=["sea"], title="At sea")), connections=connections)


async def resume(service: FakeService, *names: Path) -> list[Outcome]:
    return await run(service, resumed_items(names, KeptUploads(state_directory()).all()))


async def interrupt(service: FakeService, path: Path, *, after: int) -> None:
    """Cancel, as Ctrl-C does, when so many parts have been received and others are on their way."""
    held = asyncio.Event()

    async def behave(number: int, request: Request) -> Response | None:
        if len(service.received) >= after:
            await held.wait()
            return Response(status_code=503)
        return None

    service.behave = behave
    sending = asyncio.create_task(send(service, path))
    await until(lambda: len(service.received) >= after)
    await asyncio.sleep(0.05)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    held.set()
    service.behave = FakeService().behave


async def test_parts_arrive_in_the_order_of_the_file_and_are_signed_a_few_at_a_time(
    service: FakeService, film: Path
) -> None:
    [outcome] = await send(service, film)
    assert (outcome.status, outcome.error) == (Status.PROCESSING, None)
    [upload] = service.uploads
    assert upload.content == CONTENT
    assert len(service.received) == PARTS
    assert [number for numbers in service.signed for number in numbers] == list(range(1, PARTS + 1))
    assert [len(numbers) for numbers in service.signed] == [16, 24]
    assert service.aborted == []


async def test_a_large_file_is_announced_with_the_hashes_of_its_blocks(
    service: FakeService, tmp_path: Path
) -> None:
    service.target = "stored"
    size = 5 * 1024 * 1024
    content = random.Random(2).randbytes(2 * size + 7)
    (tmp_path / "large.bin").write_bytes(content)
    (tmp_path / "small.bin").write_bytes(content[:size])
    await send(service, tmp_path / "large.bin", tmp_path / "small.bin")
    large, small = (upload.input for upload in service.uploads)
    blocks = [content[offset : offset + size] for offset in range(0, len(content), size)]
    expected = [hashlib.sha256(block).hexdigest() for block in blocks]
    assert large["blocks"] == {"size": size, "sha256s": expected}
    assert large["sha256"] == hashlib.sha256(content).hexdigest()
    assert "blocks" not in small


@pytest.mark.parametrize(
    "refusal",
    [
        s3_error(503, "SlowDown"),
        s3_error(403, "SignatureDoesNotMatch"),
        s3_error(400, "RequestTimeout"),
        s3_error(409, "OperationAborted"),
        None,
    ],
    ids=["slow down", "expired", "timeout", "conflict", "broken"],
)
async def test_a_part_that_fails_is_sent_again_by_itself_with_a_fresh_address(
    service: FakeService, film: Path, refusal: Response | None
) -> None:
    failed: list[int] = []
    addresses: list[str] = []

    async def fail_once(number: int, request: Request) -> Response | None:
        if number == 7:
            addresses.append(request.url.query)
            if not failed:
                failed.append(number)
                if refusal is None:
                    raise ConnectionError("The store breaks here.")
                return refusal
        return None

    service.behave = fail_once
    [outcome] = await send(service, film)
    assert outcome.status is Status.PROCESSING
    assert service.uploads[0].content == CONTENT
    assert sorted(service.received) == [("upload-0", number) for number in range(1, PARTS + 1)]
    assert len(set(addresses)) == 2
    assert [7] in service.signed


async def test_connections_are_shared_by_all_files(service: FakeService, film: Path, tmp_path: Path) -> None:
    (tmp_path / "other.mov").write_bytes(CONTENT[::-1])
    now, most, both = 0, 0, set()

    async def count(number: int, request: Request) -> Response | None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        both.add(request.path_params["upload"])
        await asyncio.sleep(0.005)
        now -= 1
        return None

    service.behave = count
    outcomes = await send(service, film, tmp_path / "other.mov", connections=3)
    assert [outcome.status for outcome in outcomes] == [Status.PROCESSING] * 2
    assert (most, both) == (3, {0, 1})
    assert [upload.content for upload in service.uploads] == [CONTENT, CONTENT[::-1]]


async def test_parts_that_the_store_lost_are_sent_again(service: FakeService, film: Path) -> None:
    service.losses = [[3, 9], [9]]
    [outcome] = await send(service, film)
    assert outcome.status is Status.PROCESSING
    assert service.uploads[0].content == CONTENT
    again = [number for _, number in service.received[PARTS:]]
    assert sorted(again) == [3, 9, 9]


async def test_a_store_that_loses_parts_all_the_time_ends_it(service: FakeService, film: Path) -> None:
    service.losses = [[3]] * 100
    [outcome] = await send(service, film)
    assert outcome.status is Status.UPLOADING
    assert outcome.error is not None
    assert outcome.error.startswith("The service still misses 1 part, sent 5 times by now.")
    assert len(service.received) == PARTS + 4


async def test_an_upload_that_the_store_has_forgotten_is_judged_by_the_service(
    service: FakeService, film: Path
) -> None:
    """As when the store's own event has finalized it."""

    async def complete(number: int, request: Request) -> Response | None:
        if number < 20:
            return None
        upload = service.uploads[0]
        upload.parts |= {part: b"" for part in upload.missing}
        return s3_error(404, "NoSuchUpload")

    service.behave = complete
    [outcome] = await send(service, film)
    assert (outcome.status, outcome.error) == (Status.PROCESSING, None)


async def test_parts_that_wait_for_one_store_tell_each_attempt_once(
    service: FakeService, film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.client.attempts._WAIT_SECONDS", (0.0, 0.0))

    async def fail(number: int, request: Request) -> Response | None:
        return Response(status_code=503)

    service.behave = fail
    [outcome] = await send(service, film)
    host = service.origin.removeprefix("http://")
    waits = [f"waiting for {host}: attempt {number} of 9" for number in range(2, 10)]
    assert [line for line in capsys.readouterr().err.splitlines() if "waiting" in line] == waits
    assert outcome.error == (
        f"The bytes did not get through to {host} in 9 attempts: the store answers 503. "
        f"`{launcher()} upload --resume` goes on with it."
    )


async def test_a_service_whose_store_is_away_is_waited_for_aloud(
    service: FakeService, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.unavailable = 2
    [outcome] = await send(service, film)
    assert outcome.status is Status.PROCESSING
    assert capsys.readouterr().err.splitlines().count("waiting for the object store") == 1


async def test_only_what_is_sent_counts(service: FakeService, film: Path) -> None:
    """Ten parts are stored already: the bar is about the others, and is full when they are sent."""
    service.stored = range(1, 11)
    told = Told(["film.mov"])
    await run(service, new_items([film], Wishes()), progress=told)
    missing = len(CONTENT) - 10 * PART_BYTES
    assert told.notes == [f"10 of {PARTS} parts are stored already"]
    assert told.announced == [missing]
    assert {byte_size for _, byte_size in told.counts} == {missing}
    assert max(done for done, _ in told.counts) == told.counts[-1][0] == missing
    assert told.finalized == 1


async def test_a_changed_file_is_given_up(service: FakeService, film: Path, kept: KeptUploads) -> None:
    async def differ(number: int, request: Request) -> Response | None:
        return s3_error(400, "BadDigest") if number == 5 else None

    service.behave = differ
    [outcome] = await send(service, film)
    assert outcome.status is Status.FAILED
    assert outcome.error == "The file changed while it was being sent: upload it again."
    assert service.aborted == ["upload-0"]
    assert kept.all() == []


async def test_a_refusal_leaves_the_upload_for_better_times(
    service: FakeService, film: Path, kept: KeptUploads
) -> None:
    async def refuse(number: int, request: Request) -> Response | None:
        return s3_error(405, "MethodNotAllowed") if number == 20 else None

    service.behave = refuse
    [outcome] = await send(service, film)
    assert outcome.status is Status.UPLOADING
    assert outcome.error == (
        "The store answers 405: It is MethodNotAllowed & so on. `./darkroom upload --resume` goes on with it."
    )
    assert service.aborted == []
    service.behave = FakeService().behave
    [outcome] = await resume(service)
    assert outcome.status is Status.PROCESSING
    assert service.uploads[0].content == CONTENT
    assert kept.all() == []


async def test_stored_bytes_are_not_sent(
    service: FakeService, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.target = "stored"
    [outcome] = await send(service, film)
    assert (outcome.status, outcome.already_stored) == (Status.READY, True)
    assert service.received == []
    assert capsys.readouterr().err.splitlines() == ["film.mov: already stored", "film.mov: READY"]


async def test_a_proof_is_given_instead_of_the_bytes(service: FakeService, film: Path) -> None:
    service.target = "proof"
    service.proof = hmac.new(b"bm9uY2U", CONTENT[10:110] + CONTENT[:3], "sha256").hexdigest()
    [outcome] = await send(service, film)
    assert (outcome.status, outcome.already_stored) == (Status.READY, True)
    assert (service.answers, service.received) == ([service.proof], [])


async def test_where_the_proof_is_not_taken_the_bytes_are_sent(service: FakeService, film: Path) -> None:
    service.target = "proof"
    [outcome] = await send(service, film)
    assert (outcome.status, outcome.already_stored) == (Status.PROCESSING, False)
    assert len(service.answers) == 1
    assert service.uploads[0].content == CONTENT


async def test_an_interrupted_upload_goes_on_with_what_is_missing(
    service: FakeService, film: Path, kept: KeptUploads, capsys: pytest.CaptureFixture[str]
) -> None:
    await interrupt(service, film, after=17)
    assert service.aborted == []
    assert kept.all() != []
    capsys.readouterr()
    [outcome] = await resume(service)
    assert (outcome.status, outcome.error, outcome.media_id) == (Status.PROCESSING, None, "media-0")
    assert len(service.uploads) == 1
    assert sorted(service.received) == [("upload-0", number) for number in range(1, PARTS + 1)]
    assert service.uploads[0].content == CONTENT
    assert kept.all() == []
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"film.mov: goes on, 17 of {PARTS} parts are stored"


async def test_what_is_under_way_is_noted_in_private_and_without_secrets(
    service: FakeService, film: Path
) -> None:
    await interrupt(service, film, after=5)
    directory = state_directory()
    [note] = directory.iterdir()
    assert (directory.stat().st_mode & 0o777, note.stat().st_mode & 0o777) == (0o700, 0o600)
    assert json.loads(note.read_text()) == {
        "format": 1,
        "origin": service.origin,
        "upload_id": "upload-0",
        "media_id": "media-0",
        "path": str(film.resolve()),
        "byte_size": len(CONTENT),
        "modified_ns": film.stat().st_mtime_ns,
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "part_size": PART_BYTES,
        "tags": ["sea"],
        "title": "At sea",
    }


async def test_a_file_that_was_moved_or_touched_is_known_by_its_bytes(
    service: FakeService, film: Path, tmp_path: Path
) -> None:
    await interrupt(service, film, after=5)
    moved = film.rename(tmp_path / "renamed.mov")
    os.utime(moved)
    [outcome] = await resume(service, moved)
    assert (outcome.status, outcome.media_id) == (Status.PROCESSING, "media-0")
    assert service.uploads[0].content == CONTENT


async def test_a_file_with_other_bytes_does_not_go_on(
    service: FakeService, film: Path, kept: KeptUploads
) -> None:
    await interrupt(service, film, after=5)
    received = len(service.received)
    film.write_bytes(CONTENT[:-1] + b"x")
    [outcome] = await resume(service, film)
    assert outcome.error == "The file changed since its upload began, which is given up: upload it again."
    assert (len(service.received), service.aborted, kept.all()) == (received, ["upload-0"], [])


async def test_a_file_without_an_upload_and_one_that_is_gone_are_told(
    service: FakeService, film: Path, tmp_path: Path, kept: KeptUploads
) -> None:
    await interrupt(service, film, after=5)
    (tmp_path / "other.mov").write_bytes(b"other")
    [other] = await resume(service, tmp_path / "other.mov")
    assert other.error == "There is no unfinished upload of it: upload it without --resume."
    film.unlink()
    [gone] = await resume(service)
    assert gone.error == "The file can't be read: no such file or directory."
    assert len(kept.all()) == 1


async def test_an_expired_upload_begins_anew_with_the_same_wishes(
    service: FakeService, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await interrupt(service, film, after=5)
    service.uploads[0].status = "EXPIRED"
    [outcome] = await resume(service)
    assert (outcome.status, outcome.media_id) == (Status.PROCESSING, "media-1")
    assert service.uploads[1].content == CONTENT
    assert (service.uploads[1].input["tags"], service.uploads[1].input["title"]) == (["sea"], "At sea")
    assert "film.mov: its upload has expired, it begins anew" in capsys.readouterr().err


async def test_one_that_was_completed_meanwhile_is_only_followed(service: FakeService, film: Path) -> None:
    await interrupt(service, film, after=5)
    received = len(service.received)
    upload = service.uploads[0]
    upload.parts, upload.status = dict.fromkeys(range(1, PARTS + 1), b""), "COMPLETED"
    [outcome] = await resume(service)
    assert (outcome.status, outcome.error) == (Status.PROCESSING, None)
    assert len(service.received) == received


async def test_a_file_that_was_uploaded_anew_leaves_nothing_to_go_on_with(
    service: FakeService, film: Path, kept: KeptUploads
) -> None:
    await interrupt(service, film, after=5)
    [outcome] = await send(service, film)
    assert (outcome.status, outcome.media_id) == (Status.PROCESSING, "media-1")
    assert (service.aborted, kept.all()) == (["upload-0"], [])


async def test_two_commands_do_not_send_the_same_upload(
    service: FakeService, film: Path, kept: KeptUploads
) -> None:
    await interrupt(service, film, after=5)
    [upload] = kept.all()
    claim = kept.claim(upload)
    assert claim is not None
    [outcome] = await resume(service)
    assert outcome.error == "Another command is sending it."
    claim.give_back()
    [outcome] = await resume(service)
    assert outcome.status is Status.PROCESSING


async def test_all_unfinished_uploads_of_a_folder_go_on(service: FakeService, tmp_path: Path) -> None:
    for name in ("a/one.mov", "a/b/two.mov", "three.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() + CONTENT)
        await interrupt(service, tmp_path / name, after=len(service.received) + 3)
    outcomes = await resume(service, tmp_path / "a")
    assert [outcome.path.name for outcome in outcomes] == ["one.mov", "two.mov"]
    assert [upload.status for upload in service.uploads] == ["COMPLETED", "COMPLETED", "PENDING"]


async def test_without_a_place_for_notes_the_upload_goes_on_and_says_so(
    service: FakeService, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_directory().parent.mkdir(parents=True)
    state_directory().write_text("in the way")
    [outcome] = await send(service, film)
    assert outcome.status is Status.PROCESSING
    assert "film.mov: can't be resumed later. It can't be noted what is under way: file exists." in (
        capsys.readouterr().err
    )
