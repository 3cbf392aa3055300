"""Python and the packages, against the lock. Standard library only: it tells when the others are missing."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from app.operations.findings import Finding, ok, problem, warning
from app.settings import CHECKOUT, Settings

OLDEST = (3, 11)

#: What an installation may leave out (docs/decisions/0009); the check of pictures says so.
OPTIONAL = {"pillow-jxl-plugin"}

_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[^\]]*\])?==([^ \\]+)( ;[^\\]*)?", re.MULTILINE)


async def check(settings: Settings) -> list[Finding]:
    return [check_version(sys.version_info[:3]), check_packages(CHECKOUT / "requirements.lock")]


def check_version(version: tuple[int, ...]) -> Finding:
    name = ".".join(map(str, version))
    if version < OLDEST:
        return problem(
            "python",
            f"This is Python {name}, and Darkroom needs {OLDEST[0]}.{OLDEST[1]} or newer.",
            "Name a newer one: make setup PYTHON=/path/to/python3.13",
        )
    return ok("python", f"Python {name}, {sys.executable}.")


def check_packages(lock: Path) -> Finding:
    try:
        pins = _PIN.findall(lock.read_text(encoding="utf-8"))
    except OSError as error:
        return warning("packages", f"{lock.name} can't be read: {error.strerror}.", "Restore the checkout.")
    if wrong := list(_differences(pins)):
        shown = ", ".join(wrong[:5]) + (" …" if len(wrong) > 5 else "")
        return problem("packages", f"The packages are not those of {lock.name}: {shown}.", "Run make setup.")
    return ok("packages", f"{len(pins)} packages are as {lock.name} names them.")


def _differences(pins: list[tuple[str, str, str]]) -> Iterator[str]:
    installed = {_canonical(each.metadata["Name"]): each.version for each in distributions()}
    for name, wanted, marker in pins:
        found = installed.get(_canonical(name))
        # With a marker it may be for other systems than this.
        may_be_missing = bool(marker) or _canonical(name) in OPTIONAL
        if found != wanted and not (found is None and may_be_missing):
            yield f"{name} {wanted} is {found or 'missing'}"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
