"""`doctor`: looks at everything that Darkroom needs, one thing at a time, and leaves all as it was.

What it writes to try the object store and the decoding of pictures it removes again, and says so where it
can't. It must work where nothing else does, so a check is imported when its turn comes, bounded in time, and
its own failure is a finding like any other.
"""

import asyncio
import json as json_format
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict
from importlib import import_module

from app.operations.findings import Finding, State, problem
from app.operations.telling import tell
from app.settings import Settings, settings_problems

#: The slowest, one test picture of each kind, takes a few on a laptop.
CHECK_SECONDS = 60.0

#: Modules of this package; each has `check(settings)`.
CHECKS = ("python", "pictures", "limits", "data", "bucket", "database", "programs", "network", "graphiql")

#: Those that need no settings, for when there are none that can be meant.
CHECKS_WITHOUT_SETTINGS = ("python",)

Check = Callable[[Settings], Awaitable[Iterable[Finding]]]


async def main(*, json: bool) -> int:
    """Print each finding as it is made; 0 unless one is a problem."""
    code = 0
    async for finding in examine():
        code |= finding.state is State.PROBLEM
        tell(_document(finding) if json else _lines(finding))
    return code


async def examine() -> AsyncIterator[Finding]:
    """All findings, in an order in which the first problem is likely to be the cause of the others."""
    from pydantic import ValidationError

    try:
        settings = Settings()
    except ValidationError as error:
        for name in CHECKS_WITHOUT_SETTINGS:
            for finding in await _findings(name, Settings.model_construct()):
                yield finding
        for sentence in settings_problems(error):
            yield problem("settings", sentence, "Correct it in the environment or in .env.")
        return
    for name in CHECKS:
        for finding in await _findings(name, settings):
            yield finding


async def _findings(name: str, settings: Settings) -> Iterable[Finding]:
    try:
        check: Check = import_module(f"app.operations.check_{name}").check
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(settings)
    except ImportError as error:
        return [problem(name, f"A package is missing or broken: {error}.", "Run make setup.")]
    except TimeoutError:
        return [problem(name, f"There was no answer within {CHECK_SECONDS:.0f} seconds.", "Look at the log.")]
    except Exception as error:
        return [problem(name, f"It could not be looked at: {type(error).__name__}: {error}.", "Report this.")]


def _document(finding: Finding) -> str:
    return json_format.dumps(asdict(finding), ensure_ascii=False) + "\n"


def _lines(finding: Finding) -> str:
    first = f"{finding.state:8} {finding.check:12} "
    indent = " " * len(first)
    text = textwrap.fill(finding.sentence, 110, initial_indent=first, subsequent_indent=indent)
    if finding.advice:
        text += "\n" + textwrap.fill(
            finding.advice, 110, initial_indent=f"{indent}→ ", subsequent_indent=f"{indent}  "
        )
    return text + "\n"
