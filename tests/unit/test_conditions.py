"""Range and condition headers, whatever a client writes into them."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from app.conditions import ByteRange, RangeNotSatisfiableError, not_modified, wanted_range

MODIFIED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATE = r"[A-Z][a-z]{2}, [0-9]{1,3} (Jan|Feb|Xyz) [0-9]{1,9} [0-9]{1,3}:[0-9]{2}:[0-9]{2} [+-]?[0-9]{1,12}"

header_text = st.text(st.characters(max_codepoint=255))


@given(
    value=st.one_of(header_text, st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True)),
    byte_size=st.integers(0, 10**12),
)
def test_a_range_is_within_the_file_or_refused(value: str, byte_size: int) -> None:
    try:
        wanted = wanted_range(
            Headers({"range": value}), byte_size=byte_size, etag='"e"', modified_at=MODIFIED_AT
        )
    except RangeNotSatisfiableError:
        return
    if wanted is not None:
        assert isinstance(wanted, ByteRange)
        assert 0 <= wanted.start < wanted.end <= byte_size


@given(name=st.sampled_from(["if-none-match", "if-modified-since"]), value=header_text)
def test_no_condition_can_hurt(name: str, value: str) -> None:
    not_modified(Headers({name: value}), etag='"e"', modified_at=MODIFIED_AT)


@given(st.from_regex(DATE, fullmatch=True))
def test_no_date_can_hurt(value: str) -> None:
    not_modified(Headers({"if-modified-since": value}), etag='"e"', modified_at=MODIFIED_AT)
