"""The rooms: who may import whom, what they are called, and that each says what it is for."""

import ast
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = {"app", "resolvers", "schema", "services", "pipeline", "storage", "pubsub", "db"}

MODULES = sorted(
    path.relative_to(CHECKOUT)
    for room in (*ROOMS, "tests", "bench")
    for path in (CHECKOUT / room).rglob("*.py")
    if path.stat().st_size
)


def test_imports_point_down() -> None:
    """The contracts stand in pyproject.toml."""
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    linted = subprocess.run(
        [sys.executable, "-c", command],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert " 0 broken" in linted.stdout


def test_no_room_has_the_name_of_an_installed_distribution() -> None:
    assert packages_distributions().keys() & ROOMS == set()


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse((CHECKOUT / module).read_text(encoding="utf-8")))
