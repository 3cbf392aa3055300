"""`download`: originals or renditions into files, checked before they get their names."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client import documents
from app.client.destination import Destination, destination, to_stdout
from app.client.download_progress import DownloadProgress, showing_download
from app.client.endpoint import open_endpoint
from app.client.errors import ClientError, ServiceError
from app.client.fetching import Fetcher, open_fetcher
from app.client.file_names import rendition_name, safe_name
from app.client.library_api import LibraryApi
from app.client.running import ExitCode
from app.client.selection import distinct_ids
from app.client.showing import NOT_FOUND
from app.client.sinks import FileSink, OutputSink
from app.client.streams import complain, write
from app.client.text import printable, sendable

_FETCHED_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`output` as it was written: a directory, a file, "-" for stdout, None for the present directory."""

    ids: Sequence[str]
    rendition: str | None
    output: str | None
    force: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One file as the service describes it; `sha256` only where the service itself computed it."""

    filename: str
    byte_size: int
    sha256: str | None
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    media_id: str
    path: Path | None = None
    byte_size: int | None = None
    error: str | None = None


async def download(options: Options, origin: str) -> ExitCode:
    ids = distinct_ids(options.ids)
    piped = to_stdout(options.output, ids, json=options.json)
    places = None if piped else destination(options.output, many=len(ids) > 1, force=options.force)
    async with open_endpoint(LibraryApi, origin) as api, open_fetcher() as fetcher:
        await api.ping()
        if places is None:
            return await _to_stdout(api, fetcher, ids[0], options.rendition)
        return await _to_files(api, fetcher, ids, options, places)


async def _to_stdout(api: LibraryApi, fetcher: Fetcher, media_id: str, rendition: str | None) -> ExitCode:
    sink = OutputSink()
    with showing_download(1, bars=sys.stderr.isatty()) as progress:
        source = await _source(api, media_id, rendition)
        progress.receiving(0, printable(source.filename), source.byte_size)
        await fetcher.fetch(
            _renewal(api, media_id, rendition),
            source.byte_size,
            sink,
            lambda received: progress.received(0, received),
        )
        sink.check(source.sha256)
        progress.ended(0, saved=True)
    return ExitCode.SUCCESS


async def _to_files(
    api: LibraryApi, fetcher: Fetcher, ids: Sequence[str], options: Options, places: Destination
) -> ExitCode:
    """A few at once, told in the order of `ids`; with bars in the terminal, when those are gone."""
    bars = sys.stderr.isatty() and not (options.json and sys.stdout.isatty())
    room, outcomes, told = asyncio.Semaphore(_FETCHED_AT_ONCE), [], True
    with showing_download(len(ids), bars=bars) as progress:
        saving = _Saving(api, fetcher, options, places, progress)

        async def save(number: int, media_id: str) -> _Outcome:
            async with room:
                return await saving.save(number, media_id)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(save(number, media_id)) for number, media_id in enumerate(ids)]
            for task in tasks:
                outcomes.append(await task)
                told = (bars or _tell(outcomes[-1], json=options.json)) and told
    if bars:
        told = all([_tell(outcome, json=options.json) for outcome in outcomes])
    failed = any(outcome.error for outcome in outcomes)
    return ExitCode.SUCCESS if told and not failed else ExitCode.FAILURE


class _Saving:
    def __init__(
        self,
        api: LibraryApi,
        fetcher: Fetcher,
        options: Options,
        places: Destination,
        progress: DownloadProgress,
    ) -> None:
        self._api = api
        self._fetcher = fetcher
        self._options = options
        self._places = places
        self._progress = progress

    async def save(self, number: int, media_id: str) -> _Outcome:
        try:
            source = await _source(self._api, media_id, self._options.rendition)
            target = self._places.target(source.filename)
            self._progress.receiving(number, printable(target.name), source.byte_size)
            await self._fetch(number, media_id, source, target)
        except ClientError as error:
            self._progress.ended(number, saved=False)
            return _Outcome(media_id=media_id, error=str(error))
        self._progress.ended(number, saved=True)
        return _Outcome(media_id=media_id, path=target, byte_size=source.byte_size)

    async def _fetch(self, number: int, media_id: str, source: _Source, target: Path) -> None:
        rendition = self._options.rendition
        sink = FileSink(target, f"{self._api.origin} {media_id} {rendition or ''}")
        try:
            await self._fetcher.fetch(
                _renewal(self._api, media_id, rendition),
                source.byte_size,
                sink,
                lambda received: self._progress.received(number, received),
            )
            await sink.finish(source.sha256, force=self._options.force)
        finally:
            sink.close()


def _renewal(api: LibraryApi, media_id: str, rendition: str | None) -> Callable[[], Awaitable[str]]:
    async def renew() -> str:
        return (await _source(api, media_id, rendition)).url

    return renew


async def _source(api: LibraryApi, media_id: str, rendition: str | None) -> _Source:
    """With a freshly signed address. Raises ServiceError where there is nothing to download."""
    if rendition is None:
        return await _original(api, media_id)
    name, media = sendable(rendition), await api.renditions(media_id)
    if media is None:
        raise ServiceError(NOT_FOUND)
    for each in media.renditions:
        if each.name == name and each.url is not None:
            filename = rendition_name(media.filename, each.name, each.mime_type)
            return _Source(filename=filename, byte_size=each.byte_size, sha256=None, url=each.url)
    there = ", ".join(each.name for each in media.renditions)
    reason = f"there are {there}" if there else f"there are none, for it is {media.status}"
    raise ServiceError(printable(f"There is no rendition {name}: {reason}."))


async def _original(api: LibraryApi, media_id: str) -> _Source:
    media = await api.original(media_id)
    if media is None:
        raise ServiceError(NOT_FOUND)
    if media.url is None:
        raise ServiceError(f"There are no bytes to download: it is {media.status}.")
    return _Source(
        filename=safe_name(media.filename), byte_size=media.byte_size, sha256=media.sha256, url=media.url
    )


def _tell(outcome: _Outcome, *, json: bool) -> bool:
    """False when nobody got it."""
    if outcome.error:
        complain(f"{printable(outcome.media_id)}: {printable(outcome.error)}")
    path = None if outcome.path is None else str(outcome.path)
    if json:
        document = {
            "id": outcome.media_id,
            "path": None if path is None else sendable(path),
            "size": outcome.byte_size,
            "error": outcome.error,
        }
        return write(sys.stdout, documents.line(document))
    return path is None or write(sys.stdout, f"{printable(path)}\n")
