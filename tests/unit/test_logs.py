"""What may stand in the log of a terminal."""

import io
from contextlib import redirect_stdout

import structlog

from app.logs import configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
