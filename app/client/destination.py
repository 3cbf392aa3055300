"""Where downloads go: the files of one command, none of which takes another's place."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.client.errors import FileProblemError, UsageError
from app.client.file_names import safe_name
from app.client.part_file import exists
from app.client.text import printable

STDOUT = "-"


@dataclass(slots=True, kw_only=True)
class Destination:
    """Files in `directory` under their own names, or the one `file`."""

    directory: Path
    file: Path | None
    force: bool
    _taken: set[Path] = field(default_factory=set)

    def target(self, filename: str) -> Path:
        """The path for what the service calls `filename`. Raises FileProblemError if that is taken."""
        target = self.file or self.directory / safe_name(filename)
        if target in self._taken:
            raise FileProblemError(f"Another of these is saved as {printable(target.name)} already.")
        if os.path.isdir(target) or (not self.force and os.path.lexists(target)):
            raise exists(target)
        self._taken.add(target)
        return target


def to_stdout(output: str | None, ids: Sequence[str], *, json: bool) -> bool:
    """Whether stdout takes the bytes. Raises UsageError where it can't."""
    if output != STDOUT:
        return False
    if len(ids) > 1:
        raise UsageError("--output - takes one file: name one id.")
    if json:
        raise UsageError("--output - leaves no room for --json.")
    if sys.stdout.isatty():
        raise UsageError("--output - would fill the terminal with bytes: send stdout to a file or a program.")
    return True


def destination(output: str | None, *, many: bool, force: bool) -> Destination:
    """`output` names a directory that is there, or one file. Raises UsageError."""
    if output is None:
        return Destination(directory=Path(), file=None, force=force)
    path = Path(output)
    if path.is_dir():
        return Destination(directory=path, file=None, force=force)
    if many or output.endswith("/"):
        raise UsageError(f"{printable(output)}: there is no such directory.")
    if not path.parent.is_dir():
        raise UsageError(f"{printable(str(path.parent))}: there is no such directory.")
    return Destination(directory=path.parent, file=path, force=force)
