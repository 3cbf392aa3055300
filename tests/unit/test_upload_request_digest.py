"""What makes two requests for an upload the same one, also to the next version."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from db.models import Visibility
from services.upload_requests import CleanUploadRequest

SHORT = CleanUploadRequest(filename="cat.jpg", mime_type="image/jpeg", size=10, idempotency_key="first")
WHOLE = CleanUploadRequest(
    filename="cat.jpg",
    mime_type="image/jpeg",
    size=10,
    sha256="aa",
    md5="bb",
    title="A cat",
    description="It sits.",
    tags={"cat": "Cat", "red": "red"},
    metadata={"a": {"x": 1, "y": 2}},
    visibility=Visibility.PUBLIC,
    idempotency_key="first",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NextRequest(CleanUploadRequest):
    """Of a version that knows more claims."""

    album: str | None = None
    people: list[str] = field(default_factory=list)


def of_next_version(request: CleanUploadRequest, **more: Any) -> NextRequest:
    return NextRequest(**{name: getattr(request, name) for name in CleanUploadRequest.__slots__} | more)


@pytest.mark.parametrize("request_", [SHORT, WHOLE])
def test_a_claim_that_comes_with_a_new_version_leaves_the_digest_of_those_without_it(
    request_: CleanUploadRequest,
) -> None:
    assert of_next_version(request_).digest == request_.digest
    assert of_next_version(request_, album="cats").digest != request_.digest
    assert of_next_version(request_, people=["Ada"]).digest != request_.digest


@pytest.mark.parametrize(
    ("request_", "digest"),
    [
        (SHORT, "e4dc90ebafedcd2ff2363b60f6b6e6b948639d7a783f7a98cf29e6dae0f15144"),
        (WHOLE, "7bc7080938b47d8ac3b3674652cfa5602c2db68b4b68b5b52c1687121e7510a7"),
    ],
)
def test_the_digest_stays_what_it_is(request_: CleanUploadRequest, digest: str) -> None:
    """It is compared with that of a request which another version may have answered."""
    assert request_.digest.hex() == digest


@pytest.mark.parametrize(
    "change",
    [
        {"filename": "dog.jpg"},
        {"size": 11},
        {"sha256": None},
        {"title": None},
        {"tags": {}},
        {"metadata": {}},
        {"metadata": {"a": {"x": 1.0, "y": 2}}},
        {"visibility": Visibility.PRIVATE},
    ],
)
def test_another_claim_makes_another_request(change: dict[str, Any]) -> None:
    assert replace(WHOLE, **change).digest != WHOLE.digest


def test_the_order_of_tags_and_keys_makes_no_difference() -> None:
    turned = replace(WHOLE, tags={"red": "red", "cat": "Cat"}, metadata={"a": {"y": 2, "x": 1}})
    assert turned.digest == WHOLE.digest
