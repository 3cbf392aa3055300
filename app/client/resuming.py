"""Whether a file is still what an upload that is to go on began with."""

from pathlib import Path

from app.client.errors import ChangedFileError, FileProblemError
from app.client.files import LocalFile, inspect, look_at
from app.client.hashing import Reading
from app.client.jobs import Job
from app.client.kept_uploads import KeptUpload


class OutdatedUploadError(ChangedFileError):
    """The file is another now: its upload can never be finished."""

    def __init__(self, kept: KeptUpload) -> None:
        super().__init__("The file changed since its upload began, which is given up: upload it again.")
        self.kept = kept


async def recognise(job: Job, reading: Reading) -> tuple[LocalFile, KeptUpload]:
    """The file, and the upload that it belongs to: by size and time of change, else by its hash.

    Raises FileProblemError when there is none, and OutdatedUploadError when there was one.
    """
    kept = job.kept or []
    path = str(job.path.resolve())
    own = [each for each in kept if each.path == path]
    for each in own:
        file = await look_at(job.path, sha256=each.sha256)
        if (file.byte_size, file.modified_ns) == (each.byte_size, each.modified_ns):
            return file, each
    byte_size = _size(job.path)
    if same_size := [each for each in kept if each.byte_size == byte_size]:
        file = await inspect(job.path, reading)
        for each in same_size:
            if each.sha256 == file.sha256:
                return file, each
    if own:
        raise OutdatedUploadError(own[0])
    raise FileProblemError("There is no unfinished upload of it: upload it without --resume.")


def _size(path: Path) -> int:
    return path.stat().st_size
