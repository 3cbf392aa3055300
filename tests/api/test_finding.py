"""What each filter of a list finds, alone and together with others, and whose media it may show."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from db.models import Role
from tests.api.client import MEDIA_EVENTS, Client, Json
from tests.api.service import Service
from tests.api.test_changes import TAG, UNTAG, update

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIND = """query ($filter: MediaFilter) { mediaItems(filter: $filter, first: 100) {
    totalCount nodes { id filename createdAt } } }"""
SHOWN = """query ($filter: MediaFilter) { mediaItems(filter: $filter) { nodes {
    id title visibility tags { slug } owner { id username role } upload { id } download { url } } } }"""


@pytest_asyncio.fixture(loop_scope="session")
async def admin(service: Service, http: httpx.AsyncClient) -> Client:
    return Client(service=service, user=await service.add_user(Role.ADMIN), http=http)


async def found(client: Client, **filter: Any) -> list[str]:
    """The filenames, the oldest first; the total is always as many."""
    items = (await client.graphql(FIND, filter=filter))["mediaItems"]
    assert items["totalCount"] == len(items["nodes"])
    return [node["filename"] for node in reversed(items["nodes"])]


@pytest.mark.parametrize(
    ("name", "search", "hit"),
    [
        ("École de Paris", "école", True),
        ("École de Paris", "ÉCOLE", True),
        ("E\u0301cole", "école", True),  # a letter and an accent, or one character
        ("École", "ecole", False),
        ("Große STRASSE", "strasse", True),
        ("Große Straße", "GROSSE", True),
        ("ＩＭＧ１２", "img12", True),  # full width
        ("Москва ночью", "МОСК", True),
        ("Москва ночью", "сква", False),
        ("दिन", "दिन", True),
        ("दिन", "दान", False),
        ("İstanbul", "istan", True),
        ("Summer holiday", "hol sum", True),
        ("Summer holiday", "oliday", False),
        ("Summer holiday", "holidays", False),
        ("Summer holiday", "  SUMMER,\tholi!  ", True),
        ("It's 5 o'clock", "it's", True),
        ("C'est la vie", "est", True),
        ("100% & more", "100%", True),
        ("z b", "z:*", True),
        ("z b", "z & !b", True),
        ("z b", "z | zzz", False),
        ("back\\slash", "back\\slash", True),
        ("back", "bac\\", True),
        ("x", "';DROP TABLE media;--", False),
    ],
)
async def test_words_are_found_by_how_they_begin_in_any_case(
    client: Client, name: str, search: str, hit: bool
) -> None:
    await client.request(filename="there.jpg", title=name)
    await client.request(filename="other.jpg", title="Quite another")
    assert await found(client, search=search) == (["there.jpg"] if hit else [])


@pytest.mark.parametrize("search", ["2682", "img", "IMG_2682.heic", "heic", "26", "img_26"])
async def test_the_parts_of_a_filename_are_words(client: Client, search: str) -> None:
    await client.request(filename="IMG_2682.heic")
    await client.request(filename="DSC_1.jpg")
    assert await found(client, search=search) == ["IMG_2682.heic"]


async def test_the_words_may_stand_in_title_description_filename_and_tags(client: Client) -> None:
    await client.request(filename="all.jpg", title="Red", description="A green\nfield", tags=["Deep Blue"])
    await client.request(filename="one.jpg", title="Red")
    assert await found(client, search="red") == ["all.jpg", "one.jpg"]
    assert await found(client, search="blu red fie al") == ["all.jpg"]
    assert await found(client, search="deep") == ["all.jpg"]
    assert await found(client, search="eep") == []
    assert await found(client, search="blue yellow") == []


async def test_what_is_changed_is_found_by_its_new_words_only(client: Client) -> None:
    media_id = (await client.request(filename="a.jpg", title="Old", tags=["spring"])).media_id
    await update(client, media_id, title="New", description="Fresh")
    assert await found(client, search="old") == []
    assert await found(client, search="new fresh spring") == ["a.jpg"]
    await client.graphql(UNTAG, ids=[media_id], tags=["spring"])
    assert await found(client, search="spring") == []
    await client.graphql(TAG, ids=[media_id], tags=["Autumn"])
    assert await found(client, search="autumn") == ["a.jpg"]
    await update(client, media_id, title=None, description=None)
    assert await found(client, search="new") == []


async def test_no_search_meets_the_word_that_says_whose_media_it_is(client: Client) -> None:
    await client.request(filename="y.jpg", title="Zzz")
    owner = client.user.id.hex
    for search in ("o", "ow", "own", "owner", *"0123456789abcdef", owner, f":{owner}", f"z {owner}"):
        assert await found(client, search=search) == [], search
    assert await found(client, search="z") == ["y.jpg"]


async def test_an_empty_search_asks_nothing(client: Client) -> None:
    await client.request(filename="a.jpg")
    assert await found(client, search="") == await found(client, search="  ") == ["a.jpg"]


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ("x" * 201, "filter.search must have at most 200 characters, not 201."),
        (" ".join("abcdefghijk"), "filter.search must have at most 10 words, not 11."),
        ("&|!", "filter.search must contain a letter or a digit."),
        ("\0", "filter.search must contain a letter or a digit."),
    ],
)
async def test_an_unfit_search_is_refused(client: Client, search: str, sentence: str) -> None:
    assert await client.refusal(FIND, filter={"search": search}) == sentence


async def test_a_nul_between_words_is_harmless(client: Client) -> None:
    await client.request(filename="a.jpg", title="one two")
    assert await found(client, search="one\0two") == ["a.jpg"]


async def test_the_moments_of_a_range_are_outside(client: Client) -> None:
    for name in ("1", "2", "3"):
        await client.request(filename=name)
    nodes = (await client.graphql(FIND))["mediaItems"]["nodes"]
    third, second, first = [node["createdAt"] for node in nodes]
    assert await found(client, createdAfter=first) == ["2", "3"]
    assert await found(client, createdBefore=third) == ["1", "2"]
    assert await found(client, createdAfter=first, createdBefore=third) == ["2"]
    assert await found(client, createdAfter=second, createdBefore=second) == []


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"camera": {"maker": "Leica"}}, ["a", "b"]),
        ({"camera": {"maker": "Leica", "iso": 100}}, ["a"]),
        ({"places": ["Rome"]}, ["b"]),
        ({"places": [{"x": None}]}, ["c"]),
        ({"camera": "Leica"}, []),
        ({"camera": {}}, ["a", "b"]),
        ({"'; --": "\\"}, ["c"]),
        ({}, ["a", "b", "c", "d"]),
        (None, ["a", "b", "c", "d"]),
    ],
)
async def test_metadata_are_contained_at_any_depth(client: Client, asked: Json, names: list[str]) -> None:
    await client.request(filename="a", metadata={"camera": {"maker": "Leica", "iso": 100}})
    await client.request(filename="b", metadata={"camera": {"maker": "Leica"}, "places": ["Oslo", "Rome"]})
    await client.request(filename="c", metadata={"places": [{"x": None, "y": 1}], "'; --": "\\"})
    await client.request(filename="d")
    assert await found(client, metadata=asked) == names


async def test_visibility_is_asked_for_alone(client: Client) -> None:
    await client.request(filename="open.jpg", visibility="PUBLIC")
    await client.request(filename="closed.jpg")
    assert await found(client, visibility="PUBLIC") == ["open.jpg"]
    assert await found(client, visibility="PRIVATE") == ["closed.jpg"]
    assert await found(client, scope="PUBLIC", visibility="PRIVATE") == []


async def test_all_filters_together_narrow_each_other(client: Client) -> None:
    facts: Json = {"title": "Red fox", "tags": ["cat", "wild"], "metadata": {"a": {"b": 1}}}
    wanted = await client.request(filename="this.jpg", visibility="PUBLIC", **facts)
    await client.request(filename="another.jpg")
    whole: Json = {
        "scope": "MINE",
        "ids": [wanted.media_id],
        "kind": ["IMAGE"],
        "status": ["UPLOADING"],
        "tags": {"all": ["cat"], "any": ["wild", "tame"], "none": ["dog"]},
        "search": "fox this wil",
        "visibility": "PUBLIC",
        "createdAfter": "2020-01-01T00:00:00Z",
        "createdBefore": "2100-01-01T00:00:00Z",
        "metadata": {"a": {"b": 1}},
    }
    for scope in ("MINE", "PUBLIC"):
        assert await found(client, **whole | {"scope": scope}) == ["this.jpg"]
    misses: Json = {
        "ids": ["x"],
        "kind": ["AUDIO"],
        "status": ["READY"],
        "tags": {"all": ["cat", "dog"]},
        "search": "wolf",
        "visibility": "PRIVATE",
        "createdAfter": "2100-01-01T00:00:00Z",
        "createdBefore": "2020-01-01T00:00:00Z",
        "metadata": {"a": {"b": 2}},
    }
    for name, miss in misses.items():
        assert await found(client, **whole | {name: miss}) == [], name


async def test_public_media_are_shown_to_all_without_what_is_their_owners(
    client: Client, stranger: Client
) -> None:
    shown = await client.upload(title="For all", tags=["Open Air"], visibility="PUBLIC")
    hidden = await client.request(title="For me", tags=["open air"])
    asked = {"scope": "PUBLIC", "ids": [shown.media_id, hidden.media_id]}
    [node] = (await stranger.graphql(SHOWN, filter=asked))["mediaItems"]["nodes"]
    assert node == {
        "id": shown.media_id,
        "title": "For all",
        "visibility": "PUBLIC",
        "tags": [{"slug": "open-air"}],
        "owner": {"id": node["owner"]["id"], "username": client.user.username, "role": None},
        "upload": None,
        "download": None,
    }
    [own] = (await client.graphql(SHOWN, filter=asked))["mediaItems"]["nodes"]
    assert own["upload"]
    assert own["download"]
    assert own["owner"]["role"] == "EDITOR"


async def test_private_media_of_others_are_in_no_scope_and_under_no_filter(
    client: Client, stranger: Client
) -> None:
    requested = await client.request(title="Secretissimo", tags=["hush"], metadata={"k": "hush"})
    filters: list[Json] = [
        {"ids": [requested.media_id]},
        {"search": "secretissimo"},
        {"search": "hush"},
        {"tags": {"all": ["hush"]}},
        {"tags": {"any": ["hush"]}},
        {"metadata": {"k": "hush"}},
        {"visibility": "PRIVATE"},
    ]
    for scope in ("MINE", "PUBLIC"):
        for filter in filters:
            assert await found(stranger, scope=scope, **filter) == []


async def test_a_public_media_is_found_by_the_tags_and_words_of_its_owner(
    client: Client, stranger: Client
) -> None:
    shown = await client.request(filename="open.jpg", title="Zirkus", tags=["tent"], visibility="PUBLIC")
    await stranger.request(filename="mine.jpg", tags=["tent"])
    only = {"scope": "PUBLIC", "ids": [shown.media_id]}
    for filter in ({"tags": {"all": ["tent"]}}, {"search": "zirk"}, {"search": "ten zir"}):
        assert await found(stranger, **only, **filter) == ["open.jpg"]
    assert await found(stranger, **only, tags={"none": ["tent"]}) == []
    await update(client, shown.media_id, visibility="PRIVATE")
    assert await found(stranger, **only) == []


async def test_all_media_are_for_admins_only(client: Client, stranger: Client, admin: Client) -> None:
    ids = [(await one.request(filename="a.jpg", tags=["cat"])).media_id for one in (client, stranger)]
    assert await found(admin, scope="ALL", ids=ids) == ["a.jpg", "a.jpg"]
    assert await found(admin, scope="ALL", ids=ids, tags={"all": ["cat"]}, search="cat a") == ["a.jpg"] * 2
    assert await found(admin, ids=ids) == []
    [error] = await client.errors(FIND, filter={"scope": "ALL"})
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert error["message"] == "filter.scope ALL is for admins only."


async def test_the_stream_of_all_media_is_for_admins_only(client: Client, admin: Client) -> None:
    async with client.socket() as socket:
        error = await socket.error(await socket.subscribe(MEDIA_EVENTS, filter={"scope": "ALL"}))
        assert error["extensions"]["code"] == "FORBIDDEN"
    async with admin.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS, filter={"scope": "ALL"})
        assert (await socket.event(id))["type"] == "CURSOR"
        requested = await client.request()
        while (event := await socket.event(id))["mediaId"] != requested.media_id:
            pass
        assert event["type"] == "CREATED"
