"""One table says what is accepted; every sentence that lists it agrees."""

from pathlib import Path

from pipeline.sniff import SUPPORTED_IMAGES
from services.formats import ACCEPTED
from tests.corpus import CHECKOUT

#: Another word for image/png, of clients only.
CLAIMED_ONLY = {"image/apng"}


def test_what_is_processed_is_what_is_accepted() -> None:
    assert set(ACCEPTED) == set(SUPPORTED_IMAGES) | CLAIMED_ONLY


def test_the_contract_lists_every_accepted_type() -> None:
    schema = (CHECKOUT / "schema" / "schema.graphql").read_text()
    *others, last = sorted(ACCEPTED)
    assert f"Its type: {', '.join(others)} or {last}.\n" in schema


def test_people_are_told_of_every_format() -> None:
    for text in (Path("README.md"), Path("CHANGELOG.md"), Path("app/cli/client.py")):
        told = (CHECKOUT / text).read_text()
        missing = [name for name in SUPPORTED_IMAGES.values() if name not in told]
        assert missing == [], text
