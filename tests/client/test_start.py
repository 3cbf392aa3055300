"""A command starts at once: it loads nothing that only the service needs."""

import subprocess
import sys

import pytest

SERVICE_ONLY = ["sqlalchemy", "sqlmodel", "strawberry", "starlette", "pgqueuer", "aiobotocore", "pyvips"]


def loaded_by(*arguments: str) -> set[str]:
    """The packages that Python had imported when it ended."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, timeout=60
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("command", [["ls"], ["upload", "README.md"], ["watch"]], ids=" ".join)
def test_a_command_that_knows_the_address_loads_no_service(command: list[str]) -> None:
    loaded = loaded_by("-m", "app", *command, "--url", "http://127.0.0.1:1")
    assert "aiohttp" in loaded
    assert loaded.isdisjoint([*SERVICE_ONLY, "pydantic_settings"])


def test_reading_the_settings_loads_no_database() -> None:
    loaded = loaded_by("-c", "import app.settings")
    assert "pydantic_settings" in loaded
    assert loaded.isdisjoint(SERVICE_ONLY)
