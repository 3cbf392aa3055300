"""When two JSON values are one: Python's equality is wider than JSON's."""

import pytest

from db.models import is_same_json


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.0}), ({"a": 0}, {"a": False}), ({"a": None}, {}), ("1", 1)],
)
def test_values_of_different_types_are_different(one: object, other: object) -> None:
    assert not is_same_json(one, other)


def test_the_order_of_keys_is_no_difference() -> None:
    assert is_same_json({"a": {"b": 1, "c": 2}, "d": []}, {"d": [], "a": {"c": 2, "b": 1}})
