"""`completion`: the script that a shell reads to complete our commands, options and their values."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # not in its __all__

#: The name that is completed, whatever path leads to it.
PROGRAM = "darkroom"

#: Where typer's own part of the completion looks for its instruction.
_VARIABLE = "_DARKROOM_COMPLETE"

commands = typer.Typer()


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@commands.command()
def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completion script for a shell.

    For bash:  eval "$(./darkroom completion bash)"
    For zsh:   eval "$(./darkroom completion zsh)"
    For fish:  ./darkroom completion fish | source

    zsh and fish ask the darkroom that is on the PATH; bash asks the one that is being typed.
    """
    script = get_completion_script(prog_name=PROGRAM, complete_var=_VARIABLE, shell=shell)
    sys.stdout.write(script + "\n")
