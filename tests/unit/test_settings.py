"""What the settings refuse, before anything listens."""

from typing import Any

import pytest

from app.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "media.example.com"])
def test_anonymous_admins_are_not_exposed(host: str) -> None:
    with pytest.raises(SystemExit) as refused:
        settings(host=host).refuse_exposure()
    assert f"Darkroom does not listen on {host}: there are no accounts yet" in str(refused.value)
    assert "DARKROOM_ALLOW_ANONYMOUS=1" in str(refused.value)
    settings(host=host, allow_anonymous=True, public_url="https://media.example.com").refuse_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_signed_addresses_name_a_host_that_clients_can_reach(host: str) -> None:
    with pytest.raises(SystemExit, match="set DARKROOM_PUBLIC_URL"):
        settings(host=host, allow_anonymous=True).refuse_exposure()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_exposes_nobody(host: str) -> None:
    settings(host=host).refuse_exposure()


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)
