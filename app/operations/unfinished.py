"""The mark of a restore that has begun: until it is gone, nobody serves from this data directory.

It is written before anything is changed and removed after everything is in place, so a restore that was
killed is always noticed: by the service, which refuses to start, and by the next restore, which begins anew.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from app.operations.archive import sync_directory
from app.operations.errors import OperationError
from app.postgres_locks import FileLock

_MARK, _LOCK = "restore.unfinished", "restore.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`archive` is the name of the file, `sums_sha256` identifies what is in it."""

    archive: str
    sums_sha256: str


def refuse_unfinished_restore(data_dir: Path) -> None:
    """Raises OperationError where a restore is under way or was interrupted."""
    mark = read_mark(data_dir)
    if mark is not None:
        raise OperationError(
            f"A restore of {mark.archive} into {data_dir} is under way or was interrupted. Let it finish, or "
            "run it again: ./darkroom restore FILE."
        )


def mark_path(data_dir: Path) -> Path:
    return data_dir / _MARK


def read_mark(data_dir: Path) -> Mark | None:
    try:
        return Mark(**json.loads(mark_path(data_dir).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Mark(archive="an unknown file", sums_sha256="")


@contextmanager
def only_restore(data_dir: Path) -> Iterator[None]:
    """Raises OperationError while another restore works in this data directory."""
    with FileLock(data_dir / _LOCK) as lock:
        if not lock.try_exclusive():
            raise OperationError(f"Another restore into {data_dir} is under way.")
        yield


def write_mark(data_dir: Path, mark: Mark) -> None:
    draft = data_dir / f"{_MARK}.new"
    with draft.open("w") as file:
        json.dump(asdict(mark), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(data_dir / _MARK)
    sync_directory(data_dir)


def remove_mark(data_dir: Path) -> None:
    (data_dir / _MARK).unlink(missing_ok=True)
    sync_directory(data_dir)
