"""From the filters of the contract to the criteria of the services."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from db.media_lists import MediaCriteria, MediaScope
from schema.ids import id_of
from schema.inputs import MediaEventFilter, MediaFilter, TagFilter
from services.errors import InvalidInput
from services.validation import clean_metadata, clean_search, clean_term

#: Of ids, or of slugs in each list of a TagFilter.
MAX_TERMS = 100


def criteria(filter: MediaFilter | MediaEventFilter | None) -> MediaCriteria:
    """Raises InvalidInput for a list of more than 100 terms, or one that is no word, and unfit searches."""
    if filter is None:
        return MediaCriteria()
    tags = filter.tags or TagFilter()
    shown = MediaCriteria(
        scope=filter.scope or MediaScope.MINE,
        media_ids=_media_ids(filter.ids),
        kinds=None if filter.kind is None else frozenset(filter.kind),
        statuses=None if filter.status is None else frozenset(filter.status),
        tags_all=_slugs(tags.all, "all") or frozenset(),
        tags_any=_slugs(tags.any, "any"),
        tags_none=_slugs(tags.none, "none") or frozenset(),
    )
    return shown if isinstance(filter, MediaEventFilter) else _searched(shown, filter)


def _searched(shown: MediaCriteria, filter: MediaFilter) -> MediaCriteria:
    """What a list can be asked in addition to what a stream can be."""
    return replace(
        shown,
        words=clean_search(filter.search, "filter.search"),
        visibility=filter.visibility,
        created_after=filter.created_after,
        created_before=filter.created_before,
        metadata=None if filter.metadata is None else clean_metadata(filter.metadata, "filter.metadata"),
    )


def _media_ids(ids: Sequence[str] | None) -> frozenset[UUID] | None:
    """An id that can't be a media's matches nothing, like the id of one that is gone."""
    if ids is None:
        return None
    known = (id_of(id, "Media") for id in _bounded(ids, "filter.ids"))
    return frozenset(id for id in known if id is not None)


def _slugs(slugs: Sequence[str] | None, name: str) -> frozenset[str] | None:
    if slugs is None:
        return None
    field = f"filter.tags.{name}"
    return frozenset(clean_term(slug, field) for slug in _bounded(slugs, field))


def _bounded(terms: Sequence[str], name: str) -> Sequence[str]:
    if len(terms) > MAX_TERMS:
        raise InvalidInput(f"{name} must be at most {MAX_TERMS}, not {len(terms)}.", name)
    return terms
