"""Words: which ones a media is found by, and what a search asks.

Words are made here and not by PostgreSQL's parser, so that they are the same in every database, whatever its
locale: in the locale C, `to_tsvector` folds the letters of ASCII only (docs/decisions/0007).
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, cast, func, literal, literal_column, union_all
from sqlalchemy.dialects.postgresql import TSQUERY, insert
from sqlalchemy.sql import Select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import TAG_WORDS, Media, MediaSearch, MediaTag, Tag
from db.terms import FEW, Term, alive_tags, carried, count_links

#: Characters of a word that count; a lexeme may have 2,046 bytes.
WORD_CHARACTERS = 64

#: Of one media: a description of 10,000 characters has 5,000 at the most.
MAX_WORDS = 6_000

# Written out, as in the index.
_TAG_WORDS: ColumnElement[str] = literal_column(TAG_WORDS.replace("slug", "tags.slug"))

_BETWEEN_WORDS = re.compile(r"[\W_]+")
_BETWEEN_SLUG_PARTS = re.compile(r"\W+")


def split_words(text: str) -> list[str]:
    """The folded words of a text: letters and digits of any script, with their marks; each once, in order."""
    words = (word[:WORD_CHARACTERS] for word in _separated(text, _BETWEEN_WORDS, " ").split(" "))
    return list(dict.fromkeys(filter(None, words)))


def slug_of(name: str) -> str:
    """The words of a tag's name with single hyphens between them, underscores inside left as they are; empty
    where there is no letter and no digit.
    """
    return _separated(name, _BETWEEN_SLUG_PARTS, "-").strip("-_")


def _separated(text: str, between: re.Pattern[str], separator: str) -> str:
    """The folded text with one separator for all that stands between two words."""

    def separate(match: re.Match[str]) -> str:
        marks = _marks_before(match)
        return marks if len(marks) == len(match[0]) else marks + separator

    return between.sub(separate, _fold(text))


def _marks_before(match: re.Match[str]) -> str:
    """The marks with which a run of other characters begins, where they belong to a letter or a digit.

    Vowels of Hindi, Thai or Arabic are marks, which Python's `\\w` leaves out. One after a space is the
    spacing accent of some keyboards.
    """
    if not match.string[max(match.start() - 1, 0) : match.start()].isalnum():
        return ""
    return "".join(takewhile(_is_mark, match[0]))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _fold(text: str) -> str:
    """Letters without case, in the one form that Unicode prefers (NFKC). A Turkish İ is an i, without the dot
    above that is left of it.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", re.sub("i\u0307+", "i", folded))


def words_of(owner_id: UUID, *texts: str | None) -> list[str]:
    """What stands in `media_search`: the words of the texts, and one that says whose media it is.

    With the owner's word in every query the index meets the media of one owner only.
    """
    words = split_words("\n".join(filter(None, texts)))
    return [_owner_word(owner_id), *words[:MAX_WORDS]]


async def save_words(session: AsyncSession, media: Sequence[Media]) -> None:
    """Let the media be found by what their rows say now: one statement."""
    ids = [each.id for each in media]
    texts = [" ".join(words_of(each.owner_id, each.filename, each.title, each.description)) for each in media]
    columns = func.unnest(cast(ids, ARRAY(Uuid)), cast(texts, ARRAY(Text)))
    said = columns.table_valued("media_id", "words").render_derived()
    words = func.array_to_tsvector(func.string_to_array(said.c.words, " "))
    statement = insert(MediaSearch).from_select(["media_id", "words"], select(said.c.media_id, words))
    await session.exec(
        statement.on_conflict_do_update(index_elements=["media_id"], set_={"words": statement.excluded.words})
    )


def found_by(word: str, owner_id: UUID | None) -> Term:
    """Media of which a word, or one of a tag, begins with `word`; with an owner, only that owner's."""
    words = [f"'{word}':*"] if owner_id is None else [f"'{_owner_word(owner_id)}'", f"'{word}':*"]
    own = col(MediaSearch.words).op("@@")(_query(*words))
    tag = [_TAG_WORDS.op("@@")(_query(f"'{word}':*")), *alive_tags(owner_id)]
    few: Select[Any] = (
        select(literal_column("1")).select_from(MediaSearch).where(own).limit(literal_column(str(FEW + 1)))
    )
    return Term(
        media_ids=union_all(
            select(col(MediaSearch.media_id)).where(own),
            select(col(MediaTag.media_id)).join(Tag, col(Tag.id) == col(MediaTag.tag_id)).where(*tag),
        ),
        rows=[
            select(literal_column("1"))
            .where(col(MediaSearch.media_id) == col(Media.id), own)
            .correlate(Media),
            carried(*tag),
        ],
        number=select(func.count()).select_from(few.subquery()).scalar_subquery() + count_links(*tag),
    )


def _query(*words: str) -> ColumnElement[str]:
    return cast(literal(" & ".join(words)), TSQUERY)


def _owner_word(owner_id: UUID) -> str:
    """No word of a text begins with a colon, so no search for the beginning of a word meets this one."""
    return f":{owner_id.hex}"
