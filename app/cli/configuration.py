"""The settings, as far as a command needs them."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Settings


def read_settings() -> "Settings":
    """Ends with exit code 2 and one line for each setting that is wrong."""
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "DARKROOM_" + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")
        raise SystemExit(2) from None
