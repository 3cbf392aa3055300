"""The data directory: whose it is, who may write, how much room there is; the secret and the object store.

Nothing is created: what is not there yet is said to come with the first start.
"""

import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from app.operations.errors import OperationError
from app.operations.findings import Finding, ok, problem, warning
from app.operations.unfinished import refuse_unfinished_restore
from app.settings import CHECKOUT, Settings
from storage.disk import DiskStore
from storage.disk_tree import INCOMING
from storage.errors import StorageError

LEAST_FREE_BYTES = 256 * 1024**2
SECRET_BYTES = 32


async def check(settings: Settings) -> list[Finding]:
    data_dir = settings.data_dir
    findings = list(check_directory(data_dir))
    usable = data_dir.is_dir() and os.access(data_dir, os.R_OK | os.W_OK | os.X_OK)
    if usable or not data_dir.exists():
        findings.append(check_room(data_dir, settings.max_upload_bytes))
    if usable:
        findings.append(check_restore(data_dir))
        if settings.bucket is None:
            findings.append(await check_store(data_dir))
    findings.append(check_secret(settings))
    findings += check_env_file(CHECKOUT / ".env")
    return findings


def check_directory(data_dir: Path) -> Iterator[Finding]:
    if not data_dir.exists():
        parent = next(each for each in data_dir.parents if each.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield ok("data", f"{data_dir} is not there yet: the first start creates it.")
        else:
            sentence = f"{data_dir} is not there, and {_user(os.geteuid())} may not create it in {parent}."
            yield problem("data", sentence, "Create it for that user, or set DARKROOM_DATA_DIR.")
        return
    if not data_dir.is_dir():
        yield problem("data", f"{data_dir} is no directory.", "Set DARKROOM_DATA_DIR to one.")
        return
    found = data_dir.stat()
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        yield problem(
            "data",
            f"{data_dir} belongs to {_user(found.st_uid)} (mode {stat.S_IMODE(found.st_mode):04o}), and "
            f"{_user(os.geteuid())} may not read and write it.",
            "Start Darkroom as the owner, or set DARKROOM_DATA_DIR to another directory.",
        )
    elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        yield problem(
            "data",
            f"Everybody on this machine may write in {data_dir} (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"chmod o-w '{data_dir}'",
        )
    else:
        yield ok("data", f"{data_dir} belongs to {_user(found.st_uid)} and can be written.")


def check_room(data_dir: Path, largest_upload: int) -> Finding:
    place = next(each for each in (data_dir, *data_dir.parents) if each.exists())
    free = shutil.disk_usage(place).free
    sentence = f"{_size(free)} are free where {data_dir} lies."
    advice = "Make room, or move the data directory to a larger disk."
    if free < LEAST_FREE_BYTES:
        return problem("room", f"Only {sentence}", advice)
    if free < largest_upload:
        return warning("room", f"{sentence} The largest upload accepted has {_size(largest_upload)}.", advice)
    return ok("room", sentence)


def check_restore(data_dir: Path) -> Finding:
    try:
        refuse_unfinished_restore(data_dir)
    except OperationError as error:
        return problem("restore", str(error), "Nothing is served until then.")
    return ok("restore", "No restore is unfinished.")


async def check_store(data_dir: Path) -> Finding:
    root = data_dir / "objects"
    if not root.exists():
        return ok("objects", f"{root} is not there yet: the first start creates it.")
    if not (root / INCOMING).is_dir():
        sentence = f"The object store's directory {root} has no {INCOMING}."
        return problem("objects", sentence, "Is its disk mounted?")
    store = DiskStore(root, base_url="http://doctor.invalid", secret=bytes(SECRET_BYTES))
    try:
        await store.check()
    except StorageError as error:
        reason = error.__cause__
        why = f" ({reason.strerror})" if isinstance(reason, OSError) and reason.strerror else ""
        advice = f"Look at the disk and the rights of {root}; uploads are refused until it works."
        return problem("objects", f"{error}{why}", advice)
    return ok("objects", f"The object store in {root} can be written and read.")


def check_secret(settings: Settings) -> Finding:
    if settings.secret is not None:
        return ok("secret", "The signing secret is given by DARKROOM_SECRET.")
    path = settings.data_dir / "secret"
    try:
        found = path.stat()
        content = path.read_bytes()
    except FileNotFoundError:
        return ok("secret", f"{path} is not there yet: the first start creates it.")
    except OSError as error:
        return problem("secret", f"{path} can't be read: {error.strerror}.", "Start Darkroom as its owner.")
    if len(content) < SECRET_BYTES:
        sentence = f"{path} has {len(content)} bytes, and a secret needs {SECRET_BYTES}."
        return problem("secret", sentence, "Remove it: the next start makes another, and addresses end.")
    if found.st_mode & 0o077:
        sentence = f"Others than its owner may use {path} (mode {stat.S_IMODE(found.st_mode):04o})."
        advice = f"chmod 600 '{path}'; if somebody may have read it, remove it: the next start makes another."
        return problem("secret", sentence, advice)
    return ok("secret", f"{path} is for its owner only.")


def check_env_file(path: Path) -> Iterator[Finding]:
    """Only where there is one: whether others can read the secrets in it."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    secrets = (
        *("DARKROOM_SECRET=", "DARKROOM_DATABASE_URL=", "POSTGRES_PASSWORD="),
        *("DARKROOM_S3_SECRET_ACCESS_KEY=", "DARKROOM_CDN_PRIVATE_KEY=", "DARKROOM_CDN_PURGE_TOKEN="),
    )
    if mode & 0o077 and any(line.lstrip().startswith(secrets) for line in text.splitlines()):
        sentence = f"Others can read the secrets in {path} (mode {stat.S_IMODE(mode):04o})."
        yield problem("env-file", sentence, f"chmod 600 '{path}'")
    else:
        yield ok("env-file", f"{path} is read, and tells others no secret.")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _size(byte_size: int) -> str:
    return f"{byte_size / 1024**3:,.1f} GiB"
