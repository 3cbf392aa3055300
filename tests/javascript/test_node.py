"""What the tests of this room do where Node, npm or the registry is missing: never pass unseen."""

from pathlib import Path

import pytest

from tests.javascript.node import installed


class Machine:
    """A PATH with a node and an npm of the test's own, and a home with a lock file."""

    def __init__(self, directory: Path) -> None:
        self.path, self.home = directory / "bin", directory / "home"
        self.path.mkdir()
        self.home.mkdir()
        (self.home / "package-lock.json").write_text("{}")

    def has(self, name: str, script: str) -> None:
        (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.path / name).chmod(0o755)

    def has_npm(self, script: str) -> None:
        self.has("node", "echo v20.19.0")
        self.has("npm", script)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(machine.path))
    monkeypatch.delenv("CI", raising=False)
    return machine


def test_without_node_nothing_is_tested(machine: Machine) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"NO NODE ≥ 20\.19"):
        installed(machine.home)


def test_an_old_node_does_not_count(machine: Machine) -> None:
    machine.has_npm("exit 0")
    machine.has("node", "echo v18.20.4")
    with pytest.raises(pytest.skip.Exception, match=r"NO NODE ≥ 20\.19"):
        installed(machine.home)


def test_a_registry_that_is_not_there_is_named(machine: Machine) -> None:
    machine.has_npm("echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(pytest.skip.Exception, match="NO NPM REGISTRY"):
        installed(machine.home)


@pytest.mark.parametrize("npm", [None, "echo 'npm error code EAI_AGAIN' >&2; exit 1"])
def test_on_ci_it_is_a_failure(machine: Machine, monkeypatch: pytest.MonkeyPatch, npm: str | None) -> None:
    monkeypatch.setenv("CI", "1")
    if npm is not None:
        machine.has_npm(npm)
    with pytest.raises(pytest.fail.Exception, match=r"^NO N"):
        installed(machine.home)


def test_a_lock_that_can_not_be_installed_is_no_reason_to_skip(machine: Machine) -> None:
    machine.has_npm("echo 'npm error code EINTEGRITY' >&2; exit 1")
    with pytest.raises(AssertionError, match="EINTEGRITY"):
        installed(machine.home)


def test_packages_are_installed_once_for_each_lock(machine: Machine) -> None:
    machine.has_npm('echo "$*" >> log; PATH=/usr/bin:/bin mkdir -p node_modules')
    log = machine.home / "log"
    for lock in ("{}", "{}", '{"packages": {}}'):
        (machine.home / "package-lock.json").write_text(lock)
        assert installed(machine.home) == machine.path / "node"
    assert [line.split()[:2] for line in log.read_text().splitlines()] == [["ci", "--ignore-scripts"]] * 2
