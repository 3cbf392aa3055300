"""`upload` from the options to the exit code: 0 all is well, 1 not all, 2 can't be meant, 130 interrupted."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from urllib.parse import urlsplit

import stamina.instrumentation

from app.client.api import Wishes, open_api
from app.client.errors import ClientError, UsageError
from app.client.files import check_paths, display_name
from app.client.progress import showing_progress
from app.client.report import Listing, print_complaints, print_document
from app.client.streams import open_missing_streams, write
from app.client.text import sendable
from app.client.uploads import Outcome, Uploads

_SUCCESS, _FAILURE, _USAGE = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    paths: list[Path]
    wishes: Wishes
    origin: str
    watch: bool
    json: bool


def run(
    paths: list[Path], *, tags: Sequence[str], title: str | None, watch: bool, json: bool, origin: str
) -> int:
    """Upload, say on stdout and stderr how it went, and return the exit code."""
    open_missing_streams()
    # By itself stamina tells structlog of every attempt, which prints it on stdout.
    stamina.instrumentation.set_on_retry_hooks([])
    logging.disable()  # what a library logs of a failed request may hold its signed address
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that the terminal's encoding lacks
    try:
        check_paths(paths)
        options = Options(
            paths=paths,
            wishes=Wishes(
                tags=[sendable(tag) for tag in tags], title=None if title is None else sendable(title)
            ),
            origin=_checked_origin(origin),
            watch=watch,
            json=json,
        )
        return asyncio.run(_upload(options))
    except UsageError as error:
        return _say(error, _USAGE)
    except ClientError as error:
        return _say(error, _FAILURE)


async def _upload(options: Options) -> int:
    outcomes: list[Outcome] = []
    told = True
    async with open_api(options.origin) as api:
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
    return _SUCCESS if succeeded and told else _FAILURE


def _has_room(options: Options) -> bool:
    """Bars and JSON in one terminal would run into each other."""
    return sys.stderr.isatty() and not (options.json and sys.stdout.isatty())


def _checked_origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # A password in the address would stand in every sentence that names it.
    if (
        not usable
        or parts.query
        or parts.fragment
        or parts.username is not None
        or any(map(str.isspace, url))
    ):
        raise UsageError("--url must look like http://127.0.0.1:8000.")
    return parts.geturl().rstrip("/")  # with the scheme in lower case


def _say(error: ClientError, code: int) -> int:
    write(sys.stderr, f"{error}\n")
    return code
