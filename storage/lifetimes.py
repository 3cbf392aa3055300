"""How long signed addresses live, in whole seconds, and how those to read from come to be equal."""

import math
from datetime import datetime, timedelta

LONGEST_LIFETIME = timedelta(days=7)
"""As on S3, so that no caller comes to rely on more."""

# Two addresses of one object signed within this time are equal, so that a browser's cache can answer.
_READ_WINDOW_SECONDS = 60


def expiry(now: datetime, expires_in: timedelta) -> int:
    """The Unix second at which an address ends; raises ValueError for a lifetime of 0 or above 7 days."""
    if not timedelta(0) < expires_in <= LONGEST_LIFETIME:
        raise ValueError("An address lives more than no time and at most 7 days.")
    # Rounded up: an address of half a second must live half a second.
    return math.ceil((now + expires_in).timestamp())


def read_expiry(now: datetime, expires_in: timedelta) -> int:
    """As `expiry`, rounded down to the end of a window: at most a fifth, and a minute, earlier."""
    exact = expiry(now, expires_in)
    return exact - exact % read_window(expires_in)


def read_window(expires_in: timedelta) -> int:
    """The seconds within which addresses of one object are equal: a minute, at most a fifth of their life."""
    return max(1, min(_READ_WINDOW_SECONDS, int(expires_in.total_seconds()) // 5))
