"""`upload`: from the options to the exit code."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client import running
from app.client.endpoint import open_endpoint
from app.client.errors import UsageError
from app.client.files import display_name
from app.client.folders import named_files
from app.client.items import Item, new_items, resumed_items
from app.client.kept_uploads import KeptUploads, state_directory
from app.client.outcomes import Outcome
from app.client.progress import showing_progress
from app.client.report import Complaints, Listing, print_document, summary
from app.client.running import ExitCode
from app.client.streams import complain
from app.client.text import sendable
from app.client.upload_api import UploadApi, Wishes
from app.client.uploads import Uploads
from app.launcher import launcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`paths` are files and folders; with `resume` of uploads that were begun: all of them if there is none.

    `parallel` is how many connections carry bytes at once.
    """

    paths: Sequence[Path]
    tags: Sequence[str] = ()
    title: str | None = None
    watch: bool = True
    resume: bool = False
    parallel: int = 4
    json: bool = False


def run(options: Options, origin: str) -> ExitCode:
    """Upload, say on stdout and stderr how it went, and return the exit code."""
    command = _Command(options)
    return running.run(command.run, origin, interrupted=command.interrupted)


class _Command:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._kept = KeptUploads(state_directory())
        self._uploads: Uploads | None = None

    async def run(self, origin: str) -> ExitCode:
        items = self._items(origin)
        if not items:
            complain(f"There is no unfinished upload to {origin}.")
            return ExitCode.SUCCESS
        async with open_endpoint(UploadApi, origin) as api:
            await api.ping()
            return await self._upload(api, items)

    def interrupted(self) -> str:
        resumable = self._uploads.resumable if self._uploads else 0
        if not resumable:
            return "Interrupted: what was not sent is given up."
        begun = "1 upload waits" if resumable == 1 else f"{resumable:,} uploads wait"
        return f"Interrupted: {begun} for `{launcher()} upload --resume`."

    def _items(self, origin: str) -> list[Item]:
        """Raises UsageError."""
        options = self._options
        self._kept.remove_stale()
        if options.resume:
            if options.tags or options.title is not None:
                raise UsageError("--resume goes on as it began: --tag and --title are for new uploads.")
            kept = [each for each in self._kept.all() if each.origin == origin]
            return resumed_items(options.paths, kept)
        if not options.paths:
            raise UsageError("Name files or folders to upload, or --resume.")
        found = named_files(options.paths)
        for note in found.notes:
            complain(note)
        title = None if options.title is None else sendable(options.title)
        return new_items(found.paths, Wishes(tags=[sendable(tag) for tag in options.tags], title=title))

    async def _upload(self, api: UploadApi, items: Sequence[Item]) -> ExitCode:
        options, outcomes, told = self._options, list[Outcome](), True
        names = [display_name(item.path) for item in items]
        with showing_progress(names, bars=_has_room(json=options.json)) as progress:
            self._uploads = uploads = Uploads(
                api, items, self._kept, progress, watch=options.watch, connections=options.parallel
            )

            async def deliver(outcome: Outcome) -> None:
                nonlocal told
                if options.json:
                    outcome = await uploads.complete(outcome)
                    told = print_document(outcome) and told
                outcomes.append(outcome)

            await uploads.run(deliver)
        listing, complaints = Listing(), Complaints()
        for number, outcome in enumerate(outcomes):
            if not options.json:
                outcome = outcomes[number] = await uploads.complete(outcome)
                told = listing.print(outcome) and told
            complaints.print(outcome)
        if not options.json and len(outcomes) > 1:
            complain(summary(outcomes))
        succeeded = all(outcome.succeeded(watched=options.watch) for outcome in outcomes)
        return ExitCode.SUCCESS if succeeded and told else ExitCode.FAILURE


def _has_room(*, json: bool) -> bool:
    """Bars and JSON in one terminal would run into each other."""
    return sys.stderr.isatty() and not (json and sys.stdout.isatty())
