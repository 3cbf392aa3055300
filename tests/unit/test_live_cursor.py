"""A live cursor is read by whoever has the secret, and altered by nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.events import LogPosition
from db.models import new_id
from services.cursors import LiveCursors
from services.errors import InvalidInput

CURSORS = LiveCursors(b"a secret of the installation")
HERE = LogPosition(epoch=new_id(), position=42)


@given(position=st.integers(min_value=0, max_value=2**63 - 1))
def test_a_cursor_names_its_place(position: int) -> None:
    place = LogPosition(epoch=HERE.epoch, position=position)
    assert CURSORS.decode(CURSORS.encode(place), epoch=HERE.epoch) == place


def test_a_cursor_of_another_log_names_no_place_here() -> None:
    assert CURSORS.decode(CURSORS.encode(HERE), epoch=new_id()) is None
    assert CURSORS.decode(LiveCursors(b"lost").encode(HERE), epoch=new_id()) is None


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "A", "=", "ÿ", "snow ☃", "AAAA"),
        # Named, since a cursor is another in each run.
        pytest.param(CURSORS.encode(HERE) + "=", id="padded"),
        pytest.param(CURSORS.encode(HERE) + "\n", id="with a newline"),
    ],
)
def test_what_was_never_a_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="`after`") as refused:
        CURSORS.decode(cursor, epoch=HERE.epoch)
    assert refused.value.path == ("after",)


def test_a_cursor_of_another_secret_is_refused() -> None:
    with pytest.raises(InvalidInput):
        CURSORS.decode(LiveCursors(b"another secret").encode(HERE), epoch=HERE.epoch)


@given(at=st.integers(min_value=22, max_value=53), character=st.sampled_from("ABCxyz019-_"))
def test_no_character_after_the_epoch_can_be_altered(at: int, character: str) -> None:
    cursor = CURSORS.encode(HERE)
    altered = cursor[:at] + character + cursor[at + 1 :]
    if altered != cursor:
        with pytest.raises(InvalidInput):
            CURSORS.decode(altered, epoch=HERE.epoch)


def test_the_secret_stays_out_of_logs() -> None:
    assert "secret" not in repr(CURSORS)
