"""What the live table shows of a list and the events after it."""

from dataclasses import replace

from app.client.board import CAPACITY, Board
from app.client.library_watch import LibraryEvent
from app.client.media import Kind, ListedMedia, Status, Visibility


def media(id: str, *, version: int = 1, second: int = 0, status: Status = Status.UPLOADING) -> ListedMedia:
    return ListedMedia(
        id=id,
        version=version,
        kind=Kind.IMAGE,
        status=status,
        visibility=Visibility.PRIVATE,
        filename=f"{id}.png",
        title=None,
        mime_type="image/png",
        byte_size=1,
        created_at="2026-11-21T12:00:00+00:00",
        updated_at=f"2026-11-21T12:{second // 60:02}:{second % 60:02}.5+00:00",
        tags=(),
        failure=None,
    )


def event(of: ListedMedia, *, matches: bool = True, version: int | None = None) -> LibraryEvent:
    return LibraryEvent(
        cursor="c",
        type="UPDATED",
        media_id=of.id,
        version=of.version if version is None else version,
        status=of.status,
        previous_status=None,
        matches=matches,
        occurred_at=of.updated_at,
        media=of,
    )


def deletion(id: str) -> LibraryEvent:
    return replace(event(media(id)), type="DELETED", matches=False, media=None, version=9)


def board(*there: ListedMedia) -> Board:
    board = Board()
    board.reset(there)
    return board


def ids(board: Board, count: int = 10) -> list[str]:
    return [each.id for each in board.latest(count)]


def test_what_changed_last_is_on_top() -> None:
    shown = board(media("a", second=1), media("b", second=3), media("c", second=2))
    assert ids(shown) == ["b", "c", "a"]
    assert ids(shown, 2) == ["b", "c"]
    shown.apply(event(media("a", version=2, second=9)))
    assert ids(shown) == ["a", "b", "c"]


def test_an_event_that_the_list_knew_already_changes_nothing() -> None:
    shown = board(media("a", version=3, status=Status.READY, second=5))
    shown.apply(event(media("a", version=2, status=Status.PROCESSING, second=4)))
    shown.apply(event(media("a", version=1), matches=False))
    assert [each.status for each in shown.latest(1)] == [Status.READY]


def test_what_leaves_the_selection_or_is_deleted_goes() -> None:
    shown = board(media("a"), media("b"))
    shown.apply(event(media("a", version=2), matches=False))
    shown.apply(deletion("b"))
    shown.apply(deletion("unknown"))
    assert ids(shown) == []


def test_a_list_that_is_read_again_takes_the_place_of_all() -> None:
    shown = board(media("a"), media("b"))
    shown.reset([media("c")])
    shown.apply(replace(event(media("x")), type="CURSOR", media_id=None, media=None))
    assert ids(shown) == ["c"]


def test_it_does_not_grow_for_ever() -> None:
    shown = board()
    for number in range(3 * CAPACITY):
        shown.apply(event(media(str(number), second=number)))
        assert len(ids(shown, 10 * CAPACITY)) <= CAPACITY
    assert ids(shown, 2) == [str(3 * CAPACITY - 1), str(3 * CAPACITY - 2)]
