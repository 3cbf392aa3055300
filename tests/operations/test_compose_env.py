"""`tools/compose-env` makes the secrets once, for the owner's eyes only, and takes nothing away."""

import re
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings
from tests.container_files import CHECKOUT, compose, env_file

SECRETS = ("POSTGRES_PASSWORD", "DARKROOM_SECRET")


def make(env: Path) -> str:
    command = ["sh", str(CHECKOUT / "tools" / "compose-env"), str(env)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_secrets_are_random_private_and_made_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    said = make(first)
    make(second)
    assert first.stat().st_mode & 0o777 == 0o600
    made = env_file(first)
    assert set(made) == set(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in made.values())
    assert len({*made.values(), *env_file(second).values()}) == 4
    assert not any(value in said for value in made.values())
    assert compose(made)["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] in made.values()

    before = first.read_bytes()
    assert "stands in" in make(first)
    assert first.read_bytes() == before


@pytest.mark.parametrize("end", ["", "\n"])
def test_what_was_there_stays_and_both_read_it(tmp_path: Path, end: str) -> None:
    env = tmp_path / ".env"
    env.write_text(f"DARKROOM_PORT=8123\nDARKROOM_SECRET={'k' * 40}{end}")
    env.chmod(0o644)
    make(env)
    assert env.stat().st_mode & 0o777 == 0o600
    assert env_file(env)["DARKROOM_SECRET"] == "k" * 40
    assert len(env_file(env)["POSTGRES_PASSWORD"]) == 64
    settings = Settings(_env_file=env)
    assert settings.port == 8123
    assert settings.database_url is None
    app = compose(env_file(env))["services"]["app"]
    assert app["ports"] == ["127.0.0.1:8123:8000"]
    assert app["environment"]["DARKROOM_PUBLIC_URL"] == "http://127.0.0.1:8123"
    assert app["environment"]["DARKROOM_PORT"] == "8000"
