"""`upload`: from the options to the exit code."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client import running
from app.client.endpoint import open_endpoint
from app.client.files import check_paths, display_name
from app.client.progress import showing_progress
from app.client.report import Listing, print_complaints, print_document
from app.client.running import ExitCode
from app.client.text import sendable
from app.client.upload_api import UploadApi, Wishes
from app.client.uploads import Outcome, Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    paths: list[Path]
    wishes: Wishes
    origin: str
    watch: bool
    json: bool


def run(
    paths: list[Path], *, tags: Sequence[str], title: str | None, watch: bool, json: bool, origin: str
) -> ExitCode:
    """Upload, say on stdout and stderr how it went, and return the exit code."""

    async def command(origin: str) -> ExitCode:
        check_paths(paths)
        wishes = Wishes(
            tags=[sendable(tag) for tag in tags], title=None if title is None else sendable(title)
        )
        return await _upload(Options(paths=paths, wishes=wishes, origin=origin, watch=watch, json=json))

    return running.run(
        command, origin, interrupted="Interrupted: what was not sent is given up, what was sent goes on."
    )


async def _upload(options: Options) -> ExitCode:
    outcomes: list[Outcome] = []
    told = True
    async with open_endpoint(UploadApi, options.origin) as api:
        await api.ping()
        with showing_progress(
            [display_name(path) for path in options.paths], bars=_has_room(options)
        ) as progress:
            uploads = Uploads(api, options.paths, options.wishes, progress, watch=options.watch)

            async def deliver(outcome: Outcome) -> None:
                nonlocal told
                if options.json:
                    outcome = await uploads.complete(outcome)
                    told = print_document(outcome) and told
                outcomes.append(outcome)

            await uploads.run(deliver)
        listing = Listing()
        for number, outcome in enumerate(outcomes):
            if not options.json:
                outcome = outcomes[number] = await uploads.complete(outcome)
                told = listing.print(outcome) and told
            print_complaints(outcome)
    succeeded = all(outcome.succeeded(watched=options.watch) for outcome in outcomes)
    return ExitCode.SUCCESS if succeeded and told else ExitCode.FAILURE


def _has_room(options: Options) -> bool:
    """Bars and JSON in one terminal would run into each other."""
    return sys.stderr.isatty() and not (options.json and sys.stdout.isatty())
