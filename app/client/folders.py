"""The files that a command line names, each by itself or by the folder that it lies in."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.client.errors import UsageError, reason_of
from app.client.text import printable


@dataclass(slots=True)
class _Skipped:
    hidden: int = 0
    links: int = 0
    others: int = 0

    def sentence(self, folder: Path) -> str | None:
        counts = [
            f"{count:,} {name}{'s' * (count != 1)}"
            for count, name in (
                (self.hidden, "hidden name"),
                (self.links, "symbolic link"),
                (self.others, "name that is no regular file"),
            )
            if count
        ]
        return f"{printable(str(folder))}: skipped {', '.join(counts)}." if counts else None


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """`notes` say, a sentence each, what in the folders was left out."""

    paths: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def named_files(names: Sequence[Path]) -> NamedFiles:
    """Each file, and all files beneath each folder in the order of their names, but hidden ones and links.

    Raises UsageError, before anything is sent, for what is neither, for a file that can't be read, a folder
    that can't be listed, and a folder without files.
    """
    found = NamedFiles()
    for path in names:
        if not is_folder(path):
            found.paths.append(path)
            continue
        skipped = _Skipped()
        beneath = list(_walk(path, skipped))
        if note := skipped.sentence(path):
            found.notes.append(note)
        if not beneath:
            raise UsageError(f"{printable(str(path))}: there are no files to upload in this folder.")
        found.paths.extend(beneath)
    return found


def is_folder(path: Path) -> bool:
    """Whether it is a folder; False for a file that can be read. Raises UsageError for everything else."""
    name = printable(str(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UsageError(f"{name}: there is no such file.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} can't be read: {reason_of(error)}.") from None
    if stat.S_ISDIR(mode):
        return True
    if not stat.S_ISREG(mode):
        raise UsageError(f"{name} is not a regular file.")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{name} can't be read: permission denied.")
    return False


def _walk(folder: Path, skipped: _Skipped) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if _is_taken(parent, name, skipped, stat.S_ISDIR))
        for name in sorted(files):
            if _is_taken(parent, name, skipped, stat.S_ISREG):
                yield Path(parent, name)


def _is_taken(parent: str, name: str, skipped: _Skipped, is_wanted: Callable[[int], bool]) -> bool:
    if name.startswith("."):
        skipped.hidden += 1
        return False
    try:
        mode = os.lstat(os.path.join(parent, name)).st_mode
    except FileNotFoundError:  # removed while we walk
        return False
    if stat.S_ISLNK(mode):
        skipped.links += 1
        return False
    if not is_wanted(mode):
        skipped.others += 1
        return False
    return True


def _refuse(error: OSError) -> None:
    raise UsageError(f"{printable(str(error.filename))} can't be listed: {reason_of(error)}.") from None
