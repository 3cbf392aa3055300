"""What the doctor finds: a sentence for each thing, and what to do where something is wrong."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`warning`: it works, but not as it should; `problem`: something does not work, or is not safe."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`check` is stable, for scripts; `advice` is empty where there is nothing to do."""

    check: str
    state: State
    sentence: str
    advice: str = ""


def ok(check: str, sentence: str) -> Finding:
    return Finding(check=check, state=State.OK, sentence=sentence)


def warning(check: str, sentence: str, advice: str) -> Finding:
    return Finding(check=check, state=State.WARNING, sentence=sentence, advice=advice)


def problem(check: str, sentence: str, advice: str) -> Finding:
    return Finding(check=check, state=State.PROBLEM, sentence=sentence, advice=advice)
