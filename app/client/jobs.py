"""What one command is to upload: a job for each file, in batches that are announced together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client.folders import is_folder
from app.client.kept_uploads import KeptUpload
from app.client.upload_api import MAX_REQUESTS, Wishes

#: A batch is hashed before any of it is sent: more than this, and the line would lie idle.
_BATCH_BYTES = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file; a new upload, or one of those in `kept` that goes on, the likeliest first."""

    path: Path
    wishes: Wishes
    kept: Sequence[KeptUpload] | None = None


def new_jobs(paths: Sequence[Path], wishes: Wishes) -> list[Job]:
    return [Job(path=path, wishes=wishes) for path in paths]


def resumed_jobs(names: Sequence[Path], kept: Sequence[KeptUpload]) -> list[Job]:
    """The uploads of these files, and of all files beneath these folders; without names, all there are.

    A file that is known by no other name is looked for among those of its size. One without any upload gets a
    job with none. Raises UsageError for what is no file that can be read.
    """
    if not names:
        return [_resumed(Path(each.path), [each]) for each in reversed(kept)]
    jobs: list[Job] = []
    for path in names:
        whole = path.resolve()
        if is_folder(path):
            beneath = [each for each in reversed(kept) if Path(each.path).is_relative_to(whole)]
            jobs += [_resumed(Path(each.path), [each]) for each in beneath] or [_resumed(path, [])]
            continue
        byte_size = path.stat().st_size
        named = [each for each in kept if Path(each.path) == whole]
        jobs.append(_resumed(path, named or [each for each in kept if each.byte_size == byte_size]))
    return jobs


def batches(jobs: Sequence[Job]) -> Iterator[range]:
    """The places of jobs that are announced together: not too many, and not too many bytes."""
    start, byte_size = 0, 0
    for number, job in enumerate(jobs):
        size = _size(job.path)
        if number > start and (number - start == MAX_REQUESTS or byte_size + size > _BATCH_BYTES):
            yield range(start, number)
            start, byte_size = number, 0
        byte_size += size
    if start < len(jobs):
        yield range(start, len(jobs))


def _resumed(path: Path, kept: Sequence[KeptUpload]) -> Job:
    wishes = Wishes(tags=kept[0].tags, title=kept[0].title) if kept else Wishes()
    return Job(path=path, wishes=wishes, kept=kept)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
