"""The packages of `tests/node`: pinned exactly, locked by digest, and nothing of where they came from."""

import json
import re
from typing import Any

from tests.javascript.node import HOME, LOCK

LOCKED: dict[str, Any] = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
WANTED: dict[str, Any] = json.loads((HOME / "package.json").read_text(encoding="utf-8"))


def test_what_is_wanted_is_an_exact_version() -> None:
    for group in ("dependencies", "devDependencies", "overrides"):
        for name, version in WANTED[group].items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version), name


def test_what_is_locked_is_what_is_wanted() -> None:
    for group in ("dependencies", "devDependencies"):
        assert LOCKED[""][group] == WANTED[group]


def test_each_package_has_its_digest_and_no_address() -> None:
    for path, package in LOCKED.items():
        if path:
            assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), path
            assert "resolved" not in package, path


def test_no_package_runs_anything_when_it_is_installed() -> None:
    assert [path for path, package in LOCKED.items() if package.get("hasInstallScript")] == []
