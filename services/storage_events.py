"""What a message of the storage's queue says: which objects may have arrived.

A message is a hint and nothing more: it says where to look, and whoever looks asks the store. Amazon S3 sends
its events to SQS itself, through SNS, or through EventBridge, each in an envelope of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import orjson

_CREATED = "ObjectCreated:"
_CREATED_BY_EVENTBRIDGE = "Object Created"

#: S3 sends one when somebody configures the notifications of a bucket.
_TEST_EVENT = "s3:TestEvent"


@dataclass(frozen=True, slots=True)
class Hint:
    """Something may be stored in `bucket` under `key`."""

    bucket: str
    key: str


class PoisonError(Exception):
    """A message that no storage sends. The sentence says what is wrong with it and quotes nothing of it."""


def read_hints(body: str) -> list[Hint]:
    """The objects that a message says were created; empty for messages about anything else.

    Raises PoisonError for what is no message of a storage.
    """
    message = _json_object(body, "The message")
    if message.get("Type") == "Notification" and "Message" in message:
        message = _json_object(_text(message, "Message"), "The message in the SNS envelope")
    return list(_hints(message))


def _hints(message: dict[str, Any]) -> Iterator[Hint]:
    if "Records" in message:
        yield from _records(message["Records"])
    elif "detail-type" in message:
        if _text(message, "detail-type") == _CREATED_BY_EVENTBRIDGE:
            detail = _object(message, "detail")
            # EventBridge gets keys as they are; the other ways they are coded as in a form.
            yield Hint(_text(_object(detail, "bucket"), "name"), _text(_object(detail, "object"), "key"))
    elif message.get("Event") != _TEST_EVENT:
        raise PoisonError("The message is no event of a storage.")


def _records(records: object) -> Iterator[Hint]:
    if not isinstance(records, list):
        raise PoisonError("Records is not a list.")
    for record in records:
        if not isinstance(record, dict):
            raise PoisonError("A record is not an object.")
        # Stores other than Amazon's write "s3:ObjectCreated:Put".
        if _text(record, "eventName").removeprefix("s3:").startswith(_CREATED):
            storage = _object(record, "s3")
            yield Hint(_text(_object(storage, "bucket"), "name"), _decoded_key(_object(storage, "object")))


def _decoded_key(stored: dict[str, Any]) -> str:
    try:
        return unquote_plus(_text(stored, "key"), errors="strict")
    except UnicodeDecodeError:
        raise PoisonError("A key is not UTF-8.") from None


def _json_object(text: str, name: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        raise PoisonError(f"{name} is not JSON.") from None
    if not isinstance(found, dict):
        raise PoisonError(f"{name} is not a JSON object.")
    return found


def _object(outer: dict[str, Any], name: str) -> dict[str, Any]:
    found = outer.get(name)
    if not isinstance(found, dict):
        raise PoisonError(f"{name} is missing or not an object.")
    return found


def _text(outer: dict[str, Any], name: str) -> str:
    found = outer.get(name)
    if not isinstance(found, str):
        raise PoisonError(f"{name} is missing or not a text.")
    return found
