"""What is built with npm: pinned without a registry's address, and committed as it can be served."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECTS = sorted(
    path.parent for room in ("web", "examples") for path in (CHECKOUT / room).glob("*/package.json")
)

each_project = pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)


def packages(project: Path) -> dict[str, dict[str, Any]]:
    """Every installed package of the lock by its path; the project itself is not one."""
    lock = json.loads((project / "package-lock.json").read_text(encoding="utf-8"))
    return {path: package for path, package in lock["packages"].items() if path}


@each_project
def test_a_lock_pins_every_package_by_its_hash_and_names_no_registry(project: Path) -> None:
    found = packages(project)
    assert found
    for path, package in found.items():
        assert package["integrity"].startswith("sha512-"), path
        assert "resolved" not in package, path
    settings = (project / ".npmrc").read_text(encoding="utf-8").splitlines()
    assert "omit-lockfile-registry-resolved=true" in settings
    assert not any("://" in line for line in settings)


@each_project
def test_no_package_may_run_a_script_when_it_is_installed(project: Path) -> None:
    assert "ignore-scripts=true" in (project / ".npmrc").read_text(encoding="utf-8").splitlines()


@each_project
def test_every_version_is_exact(project: Path) -> None:
    package = json.loads((project / "package.json").read_text(encoding="utf-8"))
    wishes = package["dependencies"] | package["devDependencies"]
    locked = packages(project)
    assert wishes == {name: locked[f"node_modules/{name}"]["version"] for name in wishes}


@each_project
def test_what_is_built_is_whole_and_has_no_source_maps(project: Path) -> None:
    page = (project / "dist" / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:src|href)="/([^"]+)"', page)
    assert named
    assert [path for path in named if not (project / "dist" / path).is_file()] == []
    assert list((project / "dist").rglob("*.map")) == []
    assert "://" not in page


@each_project
def test_what_is_committed_was_built_from_these_sources(project: Path) -> None:
    """Else: make web. Whether the build gives the same again, only `make web-check` can tell."""
    lines = (project / "dist" / "source.sha256").read_text(encoding="utf-8").splitlines()
    built_from = {line[66:]: line[:64] for line in lines}
    aside = {"dist", "node_modules", ".gitignore"}
    sources = [
        path
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] not in aside
    ]
    assert built_from == {
        path.relative_to(project).as_posix(): sha256(path.read_bytes()).hexdigest() for path in sources
    }


@each_project
def test_everybody_whose_work_it_contains_is_named_with_the_licence(project: Path) -> None:
    [notices] = (project / "dist").rglob("third-party-notices-*.txt")
    named = notices.read_text(encoding="utf-8")
    for name in json.loads((project / "package.json").read_text(encoding="utf-8"))["dependencies"]:
        version = packages(project)[f"node_modules/{name}"]["version"]
        assert re.search(rf"^{re.escape(f'{name} {version}')} \([\w.-]+\)\n=+\n\n\w", named, re.MULTILINE), (
            name
        )
