"""Every backend that keeps the contract of object stores, and what its server can't show."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.contracts.object_store import RunningStore, running_disk_store
from tests.contracts.s3_store import running_s3_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """`open` runs a store in the directory, at the endpoint of the session fixture `server` if it has one."""

    open: Callable[[Path, str], AbstractAsyncContextManager[RunningStore]]
    server: str | None = None


def _on_server(server: str, *, lacks: tuple[str, ...]) -> Backend:
    run = partial(running_s3_store, lacks=lacks)
    return Backend(open=lambda _, endpoint: run(endpoint), server=server)


BACKENDS: dict[str, Backend] = {
    "disk": Backend(open=lambda directory, _: running_disk_store(directory / "objects")),
    # It looks at nothing that was signed.
    "moto": _on_server("moto_server", lacks=("checks_requests",)),
    # It gives every object to everybody, and makes objects of no parts.
    "ministack": _on_server("ministack", lacks=("refuses_strangers", "refuses_empty_completions")),
}
