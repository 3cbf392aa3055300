"""Every backend that keeps the contract of object stores, and what its server can't show."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.contracts.object_store import RunningStore, running_disk_store
from tests.contracts.s3_store import running_s3_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """`open` runs a store in the directory, at the endpoint of the session fixture `server` if it has one.

    What `lacks` names, the server can't show:

    `checks_requests`: it looks at signature, expiry, length, type and hashes of what a client sends;
    `refuses_strangers`: it answers unsigned requests for what is not public with 403;
    `answers_ended_uploads`: it says 404 to parts of an upload that has ended;
    `binds_uploads_to_keys`: an upload's id is of no use under another key;
    `checks_ranges`: it copies no range that lies beyond the end of the source;
    `refuses_empty_completions`: it makes no object of no parts;
    `serves_everybody`: it gives what is public to everybody, and says 404 to a signed GET of what is missing;
    `lists_uploads_by_key`: open uploads are listed in the order of their keys;
    `decides_races`: of writers who come at once, all on condition that the key is free, one is let through.
    """

    open: Callable[[Path, str], AbstractAsyncContextManager[RunningStore]]
    server: str | None = None
    lacks: frozenset[str] = frozenset()


def _on_server(server: str, *lacks: str) -> Backend:
    return Backend(open=lambda _, endpoint: running_s3_store(endpoint), server=server, lacks=frozenset(lacks))


BACKENDS: dict[str, Backend] = {
    "disk": Backend(open=lambda directory, _: running_disk_store(directory / "objects")),
    # Happy paths: nothing that was signed is looked at, and what is wrong is often an error of its own.
    "moto": _on_server(
        "moto_server",
        "checks_requests",
        "answers_ended_uploads",
        "binds_uploads_to_keys",
        "checks_ranges",
        "refuses_empty_completions",
        "serves_everybody",
        "lists_uploads_by_key",
        "decides_races",  # it looks first and writes later, in a thread for each request
    ),
    # Everything is given to everybody, and an object may be made of no parts.
    "ministack": _on_server("ministack", "refuses_strangers", "refuses_empty_completions"),
}
