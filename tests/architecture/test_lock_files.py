"""The lock files pin every package by its hashes and say nothing of where they were made."""

import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
RUN = CHECKOUT / "requirements.lock"
DEV = CHECKOUT / "requirements-dev.lock"

# A pinned name, perhaps with a marker, followed by nothing but its hashes.
ENTRY = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*)(?:\[[a-z0-9,-]+\])?==(?P<version>[0-9][A-Za-z0-9.+!]*)(?: ; [^\\/:]+)?"
    r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
)

lock_files = pytest.mark.parametrize("lock", [RUN, DEV], ids=lambda path: path.name)


def entries(lock: Path) -> dict[str, str]:
    """Each pinned line with its marker, and its whole entry."""
    return {match[0].partition(" \\\n")[0]: match[0] for match in ENTRY.finditer(lock.read_text())}


def names(lock: Path) -> set[str]:
    return {match["name"] for match in ENTRY.finditer(lock.read_text())}


@lock_files
def test_a_lock_holds_pinned_and_hashed_packages_and_nothing_else(lock: Path) -> None:
    """So: no address, no host, no path, no option, no comment."""
    assert names(lock)
    assert ENTRY.sub("", lock.read_text()) == ""


def test_the_development_lock_contains_the_other() -> None:
    assert entries(RUN).items() <= entries(DEV).items()


@pytest.mark.parametrize("line", ["--index-url x", "a @ https://h/a.whl", "a==1", "-e .", "# via a"])
def test_the_guard_sees_what_must_not_be_there(line: str) -> None:
    assert ENTRY.sub("", f"{line}\n") != ""


def test_everything_that_pyproject_names_is_locked() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert {canonical(wish) for wish in project["project"]["dependencies"]} <= names(RUN)
    assert {canonical(wish) for wish in project["dependency-groups"]["dev"]} <= names(DEV)


def canonical(wish: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", wish)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()
