"""The installation's signing secret: given by a setting, or created once beside the data."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

SECRET_BYTES = 32


def installation_secret(data_dir: Path) -> bytes:
    """The secret in `<data>/secret` (mode 0600), created where there is none.

    Several processes may start at once: the first whole file wins, and all read that one.
    """
    path = data_dir / "secret"
    if not path.exists():
        _create(path)
    return path.read_bytes()


def _create(path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".secret-") as file:  # mode 0600
        file.write(secrets.token_hex(SECRET_BYTES).encode())
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)
