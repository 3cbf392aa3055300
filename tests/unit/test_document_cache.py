"""Documents are parsed and validated once, and what is refused is refused each time alike."""

import pytest
from strawberry.extensions.parser_cache import DEFAULT_MAXSIZE, _get_parse_cache
from strawberry.extensions.validation_cache import _get_validate_cache

from resolvers.execution import MAX_ALIASES, MAX_CACHED_CHARACTERS
from resolvers.root import schema


def _hits_and_misses() -> list[tuple[int, int]]:
    caches = (_get_parse_cache(DEFAULT_MAXSIZE), _get_validate_cache(DEFAULT_MAXSIZE))
    return [cache.cache_info()[:2] for cache in caches]  # type: ignore[attr-defined]


async def test_a_document_sent_again_is_neither_parsed_nor_validated_again() -> None:
    query = "query SentAgain { __typename }"
    await schema.execute(query)
    before = _hits_and_misses()
    result = await schema.execute(query)
    assert result.data == {"__typename": "Query"}
    assert _hits_and_misses() == [(hits + 1, misses) for hits, misses in before]


async def test_a_long_document_is_answered_and_not_kept() -> None:
    before = _hits_and_misses()
    result = await schema.execute(f"# {'x' * MAX_CACHED_CHARACTERS}\n{{ __typename }}")
    assert result.data == {"__typename": "Query"}
    assert _hits_and_misses() == before


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("query {", "Syntax Error"),
        ("{ unheardOf }", "Cannot query field"),
        ("{ " + " ".join(f"a{n}: __typename" for n in range(MAX_ALIASES + 1)) + " }", "aliases found"),
        ("{ " + "__typename " * 2_001 + "}", "tokens"),
    ],
)
async def test_what_is_refused_is_refused_each_time_alike(query: str, complaint: str) -> None:
    messages = []
    for _ in range(3):
        result = await schema.execute(query)
        assert result.data is None
        messages.append([error.message for error in result.errors or ()])
    assert messages[0] == messages[1] == messages[2]
    assert complaint in messages[0][0]
