"""What may stand in the log of a terminal."""

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from app.logs import configure_logs
from storage.s3 import open_s3_store
from tests.contracts.s3_store import s3_options
from tests.ministack import bucket, ministack

__all__ = ["bucket", "ministack"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def levels() -> Iterator[None]:
    """Gives every logger back the level that it had, and the root its handlers."""
    root = logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before, handlers = {each: each.level for each in loggers}, root.handlers[:]
    yield
    for each in root.manager.loggerDict.values():
        if isinstance(each, logging.Logger):
            each.setLevel(before.get(each, logging.NOTSET))
    root.setLevel(before[root])
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.usefixtures("levels")
async def test_the_most_talkative_log_holds_no_credentials_of_the_object_store(
    ministack: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    configure_logs("DEBUG", log)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-session-token")
    (tmp_path / "source").write_bytes(b"abc")
    options = s3_options(ministack, bucket, access_key_id=None, secret_access_key=None)
    async with open_s3_store(options) as store:
        await store.check()
        await store.put_file("a/b", tmp_path / "source", content_type="image/png")
        await store.fetch("a/b", tmp_path / "target")
        signed = store.sign_put(
            "a/c", content_type="a/b", byte_size=1, sha256=None, md5=None, expires_in=timedelta(minutes=1)
        )
    assert "canary-session-token" in signed.url
    logging.getLogger("test").debug("the log is open")
    assert "the log is open" in log.getvalue()
    for canary in ("canary-session-token", "canary-secret", "Signature=", "AWS4-HMAC-SHA256"):
        assert canary not in log.getvalue()
    assert not [line for line in log.getvalue().splitlines() if "signature" in line.lower()]


def test_a_traceback_on_a_terminal_does_not_show_the_values_of_variables() -> None:
    terminal = Terminal()
    with redirect_stdout(terminal):
        configure_logs("INFO")
        password = "the-password"
        try:
            raise RuntimeError("away" if password else "")
        except RuntimeError:
            structlog.get_logger("test").warning("database_away", exc_info=True)
    structlog.reset_defaults()
    assert "RuntimeError: away" in terminal.getvalue()
    assert password not in terminal.getvalue().replace('password = "the-password"', "")
