"""Messages of the storage's queue, as Amazon's documentation shows them and as nobody should send them."""

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.storage_events import Hint, PoisonError, read_hints

KEY = "0197/2026/11/21/0198.jpg"


def record(key: str = KEY, *, name: str = "ObjectCreated:Put", bucket: str = "media") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-21T18:40:25.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "203.0.113.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "uploads",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def notification(*records: Any) -> str:
    return json.dumps({"Records": records})


def from_sns(message: str) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:eu-central-1:123456789012:uploads",
            "Subject": "Amazon S3 Notification",
            "Message": message,
            "Timestamp": "2026-11-21T18:40:26.000Z",
            "SignatureVersion": "1",
            "Signature": "EXAMPLEw6JRN…",
        }
    )


def from_eventbridge(key: str = KEY, *, detail_type: str = "Object Created") -> str:
    return json.dumps(
        {
            "version": "0",
            "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": detail_type,
            "source": "aws.s3",
            "account": "111122223333",
            "time": "2026-11-21T18:40:25Z",
            "region": "eu-central-1",
            "resources": ["arn:aws:s3:::media"],
            "detail": {
                "version": "0",
                "bucket": {"name": "media"},
                "object": {"key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184"},
                "reason": "PutObject",
            },
        }
    )


TEST_EVENT = json.dumps(
    {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-11-21T18:40:25.000Z",
        "Bucket": "media",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
    }
)


@pytest.mark.parametrize(
    "name",
    [
        "ObjectCreated:Put",
        "ObjectCreated:Post",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectCreated:Put",
    ],
)
def test_each_way_to_create_an_object_is_a_hint(name: str) -> None:
    assert read_hints(notification(record(name=name))) == [Hint("media", KEY)]


def test_a_message_may_tell_of_many_objects_and_of_other_things() -> None:
    message = notification(
        record("a.jpg"), record("b.jpg", name="ObjectRemoved:Delete"), record("c.jpg", bucket="other")
    )
    assert read_hints(message) == [Hint("media", "a.jpg"), Hint("other", "c.jpg")]


@given(st.text())
@example("red flower.jpg")
@example("a+b %2B.jpg")
@example("größe/写真.jpg")
def test_keys_of_notifications_are_coded_and_those_of_eventbridge_are_not(key: str) -> None:
    if key.isprintable():
        assert read_hints(notification(record(quote_plus(key)))) == [Hint("media", key)]
        assert read_hints(from_eventbridge(key)) == [Hint("media", key)]


def test_envelopes_are_opened() -> None:
    assert read_hints(from_sns(notification(record()))) == [Hint("media", KEY)]
    assert read_hints(from_sns(from_eventbridge())) == [Hint("media", KEY)]
    assert read_hints(from_eventbridge("a+b.jpg")) == [Hint("media", "a+b.jpg")]


@pytest.mark.parametrize(
    "message",
    [
        TEST_EVENT,
        from_sns(TEST_EVENT),
        from_eventbridge(detail_type="Object Deleted"),
        notification(record(name="ObjectRemoved:Delete")),
        notification(record(name="ReducedRedundancyLostObject")),
        notification(),
    ],
)
def test_what_is_about_anything_else_is_no_hint_and_no_error(message: str) -> None:
    assert read_hints(message) == []


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("", "The message is not JSON."),
        ("not JSON", "The message is not JSON."),
        ("[1]", "The message is not a JSON object."),
        ("{}", "The message is no event of a storage."),
        ('{"Event": "s3:Other"}', "The message is no event of a storage."),
        ('{"Records": {}}', "Records is not a list."),
        ('{"Records": ["a"]}', "A record is not an object."),
        (notification({}), "eventName is missing or not a text."),
        (notification({"eventName": "ObjectCreated:Put"}), "s3 is missing or not an object."),
        (notification(record("%ff.jpg")), "A key is not UTF-8."),
        (from_sns("not JSON"), "The message in the SNS envelope is not JSON."),
        ('{"Type": "Notification", "Message": 1}', "Message is missing or not a text."),
        (from_sns(from_sns(TEST_EVENT)), "The message is no event of a storage."),
        ('{"detail-type": "Object Created"}', "detail is missing or not an object."),
        ("[" * 100_000, "The message is not JSON."),
    ],
)
def test_what_no_storage_sends_is_poison_and_is_not_quoted(message: str, sentence: str) -> None:
    with pytest.raises(PoisonError) as refused:
        read_hints(message)
    assert str(refused.value) == sentence


_NAMES = st.sampled_from(
    [
        "Records",
        "eventName",
        "s3",
        "bucket",
        "object",
        "name",
        "key",
        "detail-type",
        "detail",
        "Type",
        "Message",
    ]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["ObjectCreated:Put", "Object Created", "Notification", "%ff", TEST_EVENT])
)
_DOCUMENTS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=25,
)


@given(st.text() | _DOCUMENTS.map(json.dumps) | _DOCUMENTS.map(json.dumps).map(from_sns))
def test_nothing_comes_of_any_text_but_hints_or_poison(body: str) -> None:
    try:
        hints = read_hints(body)
    except PoisonError:
        return
    assert all(type(hint.bucket) is str and type(hint.key) is str for hint in hints)
