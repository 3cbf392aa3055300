"""Reads Dockerfile, .dockerignore and docker-compose.yml as strictly as the tests need, without Docker."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parent.parent

# ${NAME}, ${NAME:-default} and ${NAME:?sentence}; a default may hold one more.
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?:(:[-?])((?:[^{}]|\{[^{}]*\})*))?\}")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, on one line: `name` in capitals."""

    name: str
    arguments: str

    @property
    def words(self) -> list[str]:
        """Those of the exec form, which must be a JSON list of strings; a shell would read others."""
        parsed = json.loads(self.arguments)
        assert all(isinstance(word, str) for word in parsed)
        return list(parsed)


def dockerfile() -> list[list[Instruction]]:
    """The instructions of each stage, the last one's becoming the image."""
    stages: list[list[Instruction]] = []
    for instruction in _instructions((CHECKOUT / "Dockerfile").read_text()):
        if instruction.name == "FROM":
            stages.append([])
        stages[-1].append(instruction)
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, arguments = line.strip().partition(" ")
        assert name.isupper(), line
        yield Instruction(name, arguments.strip())


def image_environment() -> dict[str, str]:
    """What ENV sets in the image."""
    pairs = [each.arguments.split() for each in dockerfile()[-1] if each.name == "ENV"]
    return dict(pair.split("=", 1) for words in pairs for pair in words)


def health_command() -> list[str]:
    """The exec form of HEALTHCHECK."""
    [check] = [each for each in dockerfile()[-1] if each.name == "HEALTHCHECK"]
    words: list[str] = json.loads(check.arguments.partition(" CMD ")[2])
    return words


def copy_into(root: Path) -> None:
    """Do below `root` what COPY does with this checkout, as .dockerignore filters it."""
    for each in dockerfile()[-1]:
        if each.name != "COPY" or each.arguments.startswith("--from="):
            continue
        *sources, target = each.arguments.split()
        assert target.startswith("/")
        assert target.endswith("/")
        for source in sources:
            _copy(CHECKOUT / source, root / target.removeprefix("/"), is_directory=len(sources) == 1)


def _copy(source: Path, target: Path, *, is_directory: bool) -> None:
    name = source.relative_to(CHECKOUT).as_posix()
    assert name in allowed_names(), f".dockerignore keeps {name} out"
    if source.is_dir():
        assert is_directory
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / source.name)


def allowed_names() -> set[str]:
    """What .dockerignore lets into the build, as paths: everything is out but what is named."""
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    first, *rest = [line for line in lines if line and not line.startswith("#")]
    *names, last = rest
    assert first == "*"
    assert last == "**/__pycache__"
    assert all(re.fullmatch(r"!\w[\w.]*(/\w[\w.]*)*", name) for name in names)
    return {name.removeprefix("!") for name in names}


def compose_text() -> str:
    """Without the lines that are comments."""
    lines = (CHECKOUT / "docker-compose.yml").read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def compose_variables() -> set[str]:
    """Every variable that docker-compose.yml takes from outside."""
    return set(re.findall(r"\$\{([A-Z0-9_]+)", compose_text()))


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml as Compose understands it with these variables.

    Raises LookupError with the file's own words for a required one that is missing or empty.
    """
    parsed: dict[str, Any] = _interpolated(yaml.safe_load(compose_text()), environment)
    return parsed


def _interpolated(node: Any, environment: Mapping[str, str]) -> Any:
    """Values only and after parsing, as Compose does: what becomes empty is a text, not YAML's null."""
    if isinstance(node, dict):
        return {key: _interpolated(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(value, environment) for value in node]
    return interpolate(node, environment) if isinstance(node, str) else node


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if found := environment.get(name):
            return found
        if operator == ":?":
            raise LookupError(f"{name}: {rest}")
        return interpolate(rest or "", environment)

    done = _VARIABLE.sub(value, text)
    assert "$" not in done, "a form of interpolation that this parser does not know"
    return done


def env_file(path: Path) -> dict[str, str]:
    """The variables of an .env file, as Compose and Darkroom read it."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
