"""Logs on stdout: for people in a terminal, one JSON object a line elsewhere."""

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import Processor

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_QUIET = (
    "alembic",
    "pgqueuer",
    "uvicorn",
    "gql",
    "httpx",
    "aiobotocore",
    "aiohttp",
    "boto3",
    "botocore",
    "urllib3",
)


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Send our own and the libraries' logs through one formatter, to stdout unless told otherwise."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=_rendering())
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What these say at INFO is said by our own lines, or is of interest to their authors; and what those that
    # speak to S3 say at DEBUG holds session tokens and signatures.
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _rendering() -> list[Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if sys.stdout.isatty():
        # The default formatter prints the values of all locals: passwords and signed addresses among them.
        return [strip, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
