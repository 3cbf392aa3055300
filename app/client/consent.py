"""Asks the person at the terminal before something is deleted for good."""

import sys
from collections.abc import Awaitable, Callable, Sequence

from app.client import running
from app.client.errors import UsageError
from app.client.running import ExitCode
from app.client.streams import complain, write

#: So many names are read before one answers.
_NAMED = 10


def consent(
    look_up: Callable[[str], Awaitable[Sequence[str]]], question: Callable[[int], str], origin: str
) -> ExitCode:
    """SUCCESS when somebody said yes; else all has been said.

    `look_up` finds the printable names of what there is to delete at the checked origin; where there is
    nothing, it says so. `question` is asked for so many.
    """
    names: list[str] = []

    async def command(origin: str) -> ExitCode:
        if not sys.stdin.isatty():
            raise UsageError("Nobody can be asked here whether to delete: say --yes.")
        names.extend(await look_up(origin))
        return ExitCode.SUCCESS if names else ExitCode.FAILURE

    code = running.run(command, origin)
    if code is not ExitCode.SUCCESS:
        return code
    try:
        agreed = _ask(names, question(len(names)))
    except KeyboardInterrupt:
        complain("\nInterrupted: nothing was deleted.")
        return ExitCode.INTERRUPTED
    if not agreed:
        complain("Nothing was deleted.")
        return ExitCode.FAILURE
    return ExitCode.SUCCESS


def _ask(names: Sequence[str], question: str) -> bool:
    """Not inside a loop: its handling of Ctrl-C would wait for Enter."""
    for name in names[:_NAMED]:
        complain(f"  {name}")
    if len(names) > _NAMED:
        complain(f"  and {len(names) - _NAMED:,} more")
    write(sys.stderr, f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
