"""The shell's completion, asked as bash asks it, through the launcher."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.client.service import CHECKOUT, client_environment, command

ASK = """
eval "$(cat "$1")"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2)) COMPREPLY=()
_darkroom_completion "$2"
printf '%s\\n' "${COMPREPLY[@]}"
"""
SYNTAX = {"bash": "-n", "zsh": "-n", "fish": "--no-execute"}


def script(shell: str) -> str:
    said = subprocess.run(
        command("completion", shell), cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=True
    )
    assert said.stderr == ""
    return said.stdout


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "bash"
    path.write_text(script("bash"))
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dow"], ["download"]),
        (["ls", "--st"], ["--status"]),
        (["upload", "--res"], ["--resume"]),
        (["upload", "--par"], ["--parallel"]),
        (["ls", "--status", ""], ["UPLOADING", "PROCESSING", "READY", "FAILED"]),
        (["watch", "--kind", "im"], ["IMAGE"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes_the_launcher(bash_script: Path, words: list[str], expected: list[str]) -> None:
    said = subprocess.run(
        ["bash", "-c", ASK, "bash", str(bash_script), str(CHECKOUT / "darkroom"), *words],
        env=client_environment("http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.stdout.split(), said.stderr) == (expected, "")


def test_bash_knows_the_command_by_its_name(bash_script: Path) -> None:
    asked = f'. "{bash_script}"; complete -p darkroom'
    said = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=30, check=True)
    assert said.stdout == "complete -o default -F _darkroom_completion darkroom\n"


@pytest.mark.parametrize("shell", SYNTAX)
def test_the_script_is_what_the_shell_reads(shell: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script(shell))
    assert "_DARKROOM_COMPLETE" in (tmp_path / "script").read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"NOT TESTED: there is no {shell} to read it")
    said = subprocess.run(
        [shell, SYNTAX[shell], str(tmp_path / "script")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
