"""Words and slugs: what belongs to a word, in every script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.text import tag_slug
from db.search import slug_of, split_words

#: Marks are what is hard: letters of ASCII with some of them, and with what separates words.
texts = st.text(
    st.one_of(st.sampled_from("aİi_- \u0301\u0307\u093f\u0e31\ufe0f\u200d´"), st.characters(codec="utf-8"))
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("दिन दान", ["दिन", "दान"]),  # vowels are marks
        ("สวัสดี", ["สวัสดี"]),
        ("தமிழ்நாடு-2026", ["தமிழ்நாடு", "2026"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("שָׁלוֹם_x", ["שָׁלוֹם", "x"]),
        ("İstanbul", ["istanbul"]),
        ("I\u0307stanbul ı", ["istanbul", "ı"]),
        ("q\u0323\u0301y", ["q\u0323\u0301y"]),
        ("It\u00b4s", ["it", "s"]),  # in NFKC a space and an accent
        ("\u0301", []),
        ("_\u0301a", ["a"]),
        ("İ\u0307x", ["ix"]),
        ("❤\ufe0f a", ["a"]),
    ],
)
def test_marks_stay_with_their_letters(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_tags_that_differ_by_a_vowel_are_two() -> None:
    assert (slug_of("दिन"), slug_of("दान")) == ("दिन", "दान")


@pytest.mark.parametrize("name", ["istanbul", "İstanbul", "ISTANBUL", "I\u0307STANBUL"])
def test_a_turkish_capital_i_is_an_i(name: str) -> None:
    assert slug_of(name) == "istanbul"


@given(texts)
def test_a_word_has_a_letter_or_a_digit_and_nothing_but_these_and_their_marks(text: str) -> None:
    for word in split_words(text):
        assert word[0].isalnum()
        assert all(each.isalnum() or unicodedata.category(each).startswith("M") for each in word)


@given(texts)
def test_no_letter_and_no_digit_is_lost(text: str) -> None:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    letters = [each for each in folded if each.isalnum()]
    assert [each for each in slug_of(text) if each.isalnum()] == letters


@given(texts)
def test_the_words_of_a_slug_are_those_of_the_name(name: str) -> None:
    assert split_words(slug_of(name)) == split_words(name)
    assert slug_of(slug_of(name)) == slug_of(name)


@given(texts)
def test_the_client_makes_the_slugs_that_the_service_makes(name: str) -> None:
    assert tag_slug(name) == slug_of(name)
