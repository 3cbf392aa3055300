"""Whether the schema still answers everything that clients of the last release may ask.

    python -m tools.sdl_check

Compares `schema/schema.graphql` with the one at the newest tag `v…` that HEAD contains. A break that is meant
stands in `schema/breaking-changes.txt`.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from graphql import build_schema, find_breaking_changes

CHECKOUT = Path(__file__).resolve().parent.parent
SCHEMA = "schema/schema.graphql"
ALLOWED = "schema/breaking-changes.txt"
CHANGELOG = "CHANGELOG.md"

#: The heading of a release in the changelog.
RELEASE = re.compile(r"^## v?\d", re.MULTILINE)

GIT_SECONDS = 30


class NothingToCompareError(Exception):
    """There is no earlier schema here; the message says why."""


class ShallowCloneError(NothingToCompareError):
    """There may be one, and this clone was made without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`broken` are breaks that nobody allowed, `idle` allowances of what is not broken."""

    tag: str
    broken: list[str]
    idle: list[str]

    @property
    def is_good(self) -> bool:
        return not self.broken and not self.idle


def compare(checkout: Path) -> Comparison:
    """The checkout's schema with that of its last release. Raises NothingToCompareError."""
    tag = last_release(checkout)
    released = _git(checkout, "show", f"{tag}:{SCHEMA}")
    if released.returncode != 0:
        raise NothingToCompareError(f"{tag} has no {SCHEMA}.")
    found = breaks(released.stdout, (checkout / SCHEMA).read_text(encoding="utf-8"))
    allowed = allowances(checkout / ALLOWED, tag)
    return Comparison(
        tag=tag,
        broken=[line for line in found if line not in allowed],
        idle=[line for line in allowed if line not in found],
    )


def last_release(checkout: Path) -> str:
    """The newest tag `v…` among the ancestors of HEAD. Raises NothingToCompareError."""
    if shutil.which("git") is None:
        raise NothingToCompareError("There is no git here.")
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        raise NothingToCompareError(f"git knows no history here ({_last_line(top.stderr)}).")
    if Path(top.stdout.rstrip("\n")).resolve() != checkout.resolve():
        raise NothingToCompareError("This is a copy without its history.")
    described = _git(checkout, "describe", "--tags", "--match", "v[0-9]*", "--abbrev=0")
    if described.returncode == 0:
        return described.stdout.strip()
    if _git(checkout, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        raise ShallowCloneError(
            "This is a shallow clone without the last release: git fetch --unshallow --tags"
        )
    raise NothingToCompareError("There is no release yet (no tag v…).")


def breaks(released: str, present: str) -> list[str]:
    """What clients of the released schema may ask and the present one refuses or answers otherwise."""
    changes = find_breaking_changes(build_schema(released), build_schema(present))
    return sorted(f"{change.type.name}: {change.description}" for change in changes)


def allowances(path: Path, tag: str) -> list[str]:
    """The breaks since `tag` that are meant: lines `TAG CHANGE`; those of other tags are history."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{tag} ").strip() for line in lines if line.startswith(f"{tag} ")]


def has_releases(checkout: Path) -> bool:
    """Whether there is one, as the changelog says, which every clone has."""
    path = checkout / CHANGELOG
    return path.exists() and RELEASE.search(path.read_text(encoding="utf-8")) is not None


def _git(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["git", "-C", checkout, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=GIT_SECONDS,
        check=False,
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def main(checkout: Path = CHECKOUT) -> int:
    """Print the verdict; 1 when something is broken that worked, or allowed that is whole.

    Also in CI (the variable CI is set) when a shallow clone lacks a release: nobody would notice.
    """
    try:
        comparison = compare(checkout)
    except NothingToCompareError as reason:
        print(f"The schema was NOT COMPARED with a release: {reason}")
        if isinstance(reason, ShallowCloneError) and has_releases(checkout) and os.environ.get("CI"):
            print(f"{CHANGELOG} names a release. In CI this is a failure: check out the whole history.")
            return 1
        return 0
    tag = comparison.tag
    if comparison.broken:
        print(f"The schema breaks clients of {tag}; what is meant goes into {ALLOWED}, with its reason:")
        print(*(f"  {tag} {line}" for line in comparison.broken), sep="\n")
    if comparison.idle:
        print(f"{ALLOWED} allows what is not so:")
        print(*(f"  {tag} {line}" for line in comparison.idle), sep="\n")
    if comparison.is_good:
        print(f"The schema answers all that clients of {tag} may ask, save what {ALLOWED} names.")
    return 0 if comparison.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
