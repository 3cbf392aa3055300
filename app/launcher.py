"""How the command line is called here, for sentences that say what to type."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent


def launcher() -> str:
    """`./darkroom` in the checkout, its whole path elsewhere."""
    return "./darkroom" if Path.cwd() == _CHECKOUT else str(_CHECKOUT / "darkroom")
