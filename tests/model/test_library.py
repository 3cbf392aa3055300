"""Two owners and an admin change a library in every way; after each change the service must be the model."""

import os
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import pictures
from tests.model.model import ORDERS, PRIVATE, PUBLIC, SLUGS, Filter, Library, Media, Tag, Viewer, ids
from tests.model.service import Json, Running, Service, list_filter

ANNA, BERT = Viewer(name="anna"), Viewer(name="bert")
ADMIN = Viewer(name="admin", admin=True)
VIEWERS = (ANNA, BERT, ADMIN)
OWNERS = (ANNA, BERT)

#: Of three sizes in bytes.
PICTURES = tuple(pictures.jpeg(side, side) for side in (4, 24, 64))
FILENAMES = ("beach.jpg", "Beach_2024.JPG", "äpfel.png", "Zoo.gif", "a.webp")
TITLES = (None, "Red Beach", "sunny DAY", "Ärger im Zoo")
DESCRIPTIONS = (None, "A long day.", "beach, sea and ÄRGER")
METADATA: tuple[Json, ...] = (
    {},
    {"camera": "M6", "place": {"city": "Rome"}},
    {"place": {"city": "Oslo", "zip": 150}},
)
CONTAINED: tuple[Json, ...] = (
    {},
    {"camera": "M6"},
    {"place": {"city": "Rome"}},
    {"place": {}},
    {"city": "Rome"},
)
SEARCHES = (
    "o",
    "owner",
    "long d",
    "sea",
    "beach",
    "be",
    "red be",
    "2024",
    "sun",
    "ÄRGER",
    "zoo gif",
    "2",
    "nothing",
)

FACTS = "id version status visibility title filename size createdAt updatedAt"
MEDIA = f"media {{ {FACTS} }} userErrors {{ code message }}"
CREATE = f"""
    mutation ($input: RequestUploadInput!) {{ requestUpload(input: $input) {{ {MEDIA} upload {{ id key }} }}
    }}
"""
FINALIZE = "mutation ($id: ID!) { finalizeUpload(uploadId: $id) { media { status } userErrors { code } } }"
ABORT = "mutation ($id: ID!) { abortUpload(uploadId: $id) { upload { status } userErrors { code } } }"
UPDATE = f"mutation ($input: UpdateMediaInput!) {{ updateMedia(input: $input) {{ {MEDIA} }} }}"
DELETE = "mutation ($id: ID!) { deleteMedia(id: $id) { deletedId userErrors { code } } }"
TAG = f"""
    mutation ($ids: [ID!]!, $tags: [String!]!) {{
      answers: tagMedia(mediaIds: $ids, tags: $tags) {{ {MEDIA} }} }}
"""
UNTAG = TAG.replace("tagMedia", "untagMedia")
RENAME = """
    mutation ($id: ID!, $name: String!) { renameTag(id: $id, name: $name) {
      tag { id name slug } userErrors { code } } }
"""
DELETE_TAG = "mutation ($id: ID!) { deleteTag(id: $id) { deletedId userErrors { code } } }"
TAGS = """
    { tags(first: 100) { totalCount nodes { id name slug mediaCount
      media(first: 100) { totalCount nodes { id } } } } }
"""
LIST = """
    query (
      $filter: MediaFilter, $order: MediaOrder, $first: Int, $after: String, $last: Int, $before: String
    ) {
      mediaItems(
        filter: $filter, orderBy: $order, first: $first, after: $after, last: $last, before: $before
      ) {
        totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        nodes { id version status visibility title filename size tags { id } upload { id }
          renditions { url { expiresAt } } } } }
"""
NODES = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Media {{ {FACTS} }} }} }}"

STREAMS = (
    (ANNA, Filter()),
    (ANNA, Filter(scope="PUBLIC")),
    (BERT, Filter(tags_any=("red", "sun"))),
    (BERT, Filter(scope="PUBLIC", tags_none=("blue-sky",))),
    (ADMIN, Filter(scope="ALL", status="FAILED")),
    (ADMIN, Filter(scope="ALL", tags_all=("red",))),
)

tag_names = st.lists(st.sampled_from(sorted(SLUGS)), min_size=1, max_size=3)
slugs = st.lists(st.sampled_from(sorted(set(SLUGS.values()))), min_size=1, max_size=2, unique=True).map(tuple)
filters = st.builds(
    Filter,
    scope=st.sampled_from(["MINE", "PUBLIC", "ALL"]),
    status=st.sampled_from([None, None, "UPLOADING", "FAILED", "READY"]),
    kind=st.sampled_from([None, None, "IMAGE", "VIDEO"]),
    metadata=st.none() | st.sampled_from(CONTAINED),
    visibility=st.sampled_from([None, None, PUBLIC, PRIVATE]),
    tags_all=st.just(()) | slugs,
    tags_any=st.none() | slugs,
    tags_none=st.just(()) | slugs,
    search=st.none() | st.sampled_from(SEARCHES),
)


class LibraryMachine(RuleBasedStateMachine):
    """`service` is set by the test."""

    service: Service

    @initialize()
    def begin(self) -> None:
        self.model = Library()
        self.uploads: dict[str, str] = {}
        self.keys: dict[str, tuple[str, bytes]] = {}
        for viewer in VIEWERS:
            self.service.add(viewer)
        self.followers = [self.service.follow(viewer, filter, 0) for viewer, filter in STREAMS]

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.service.let_streams_catch_up()
                self.every_stream_has_told_what_the_model_says()
        finally:
            self.service.unfollow(self.followers)
            self.service.forget_everything()

    # Changes.

    @rule(
        owner=st.sampled_from(OWNERS),
        filename=st.sampled_from(FILENAMES),
        picture=st.sampled_from(range(len(PICTURES))),
        title=st.sampled_from(TITLES),
        description=st.sampled_from(DESCRIPTIONS),
        metadata=st.sampled_from(METADATA),
        names=st.just([]) | tag_names,
        visibility=st.sampled_from([PUBLIC, PRIVATE]),
    )
    def create(
        self,
        owner: Viewer,
        filename: str,
        picture: int,
        title: str | None,
        description: str | None,
        metadata: Json,
        names: list[str],
        visibility: str,
    ) -> None:
        # Known bytes have fewer versions, which is not what is modelled here (`test_stored_bytes`).
        data = pictures.unlike_all_others(PICTURES[picture])
        given = {
            "filename": filename,
            "size": len(data),
            "title": title,
            "description": description,
        }
        given |= {"description": description, "visibility": visibility, "tags": names}
        given |= {"metadata": metadata, "mimeType": "image/jpeg"}
        answer = self.service.ask(owner, CREATE, input=given)["requestUpload"]
        assert answer["userErrors"] == []
        facts = answer["media"]
        self.uploads[facts["id"]] = answer["upload"]["id"]
        self.keys[facts["id"]] = (answer["upload"]["key"], data)
        self.model.create(
            Media(
                id=facts["id"],
                row_id=UUID(b64decode(facts["id"]).decode().partition(":")[2]),
                owner=owner,
                created_at=datetime.fromisoformat(facts["createdAt"]),
                updated_at=datetime.fromisoformat(facts["updatedAt"]),
                filename=filename,
                size=len(data),
                title=title,
                description=description,
                metadata=metadata,
                visibility=visibility,
                tag_ids=self._tag_ids(owner, names, create=True),
            )
        )

    @precondition(lambda self: self.model.media)
    @rule(data=st.data(), owner=st.sampled_from(OWNERS), names=tag_names, put=st.booleans())
    def tag_or_untag(self, data: st.DataObject, owner: Viewer, names: list[str], put: bool) -> None:
        """Of several media at once, also of such that are not the owner's."""
        chosen = data.draw(st.lists(st.sampled_from(list(self.model.media)), min_size=1, max_size=4))
        answers = self.service.ask(owner, TAG if put else UNTAG, ids=chosen, tags=names)["answers"]
        own = [id for id in dict.fromkeys(chosen) if self.model.media[id].owner == owner]
        wanted = {SLUGS[name] for name in names}
        changing = [id for id in own if not put or not wanted <= self.model.slugs_of(self.model.media[id])]
        tag_ids = self._tag_ids(owner, names, create=put and bool(changing))
        for id in own:
            media = self.model.media[id]
            after = media.tag_ids | tag_ids if put else media.tag_ids - tag_ids
            if after != media.tag_ids:
                self.model.change(media, tag_ids=after)
        self._refresh(own)
        for id, answer in zip(chosen, answers, strict=True):
            if id in own:
                assert answer["media"]["version"] == self.model.media[id].version
            else:
                assert [error["code"] for error in answer["userErrors"]] == ["NOT_FOUND"]

    @precondition(lambda self: self.model.tags)
    @rule(data=st.data(), name=st.sampled_from(sorted(SLUGS)), actor=st.sampled_from(OWNERS))
    def rename_tag(self, data: st.DataObject, name: str, actor: Viewer) -> None:
        tag = self._draw_tag(data)
        answer = self.service.ask(actor, RENAME, id=tag.id, name=name)["renameTag"]
        codes = [error["code"] for error in answer["userErrors"]]
        holder = self.model.tag_of(tag.owner, SLUGS[name])
        if tag.owner != actor:
            assert codes == ["NOT_FOUND"]
        elif holder not in (None, tag):
            assert codes == ["CONFLICT"]
        else:
            tag.name, tag.slug = name.strip(), SLUGS[name]
            assert answer["tag"] == {"id": tag.id, "name": tag.name, "slug": tag.slug}

    @precondition(lambda self: self.model.tags)
    @rule(data=st.data(), actor=st.sampled_from(OWNERS))
    def delete_tag(self, data: st.DataObject, actor: Viewer) -> None:
        tag = self._draw_tag(data)
        answer = self.service.ask(actor, DELETE_TAG, id=tag.id)["deleteTag"]
        if tag.owner != actor:
            assert [error["code"] for error in answer["userErrors"]] == ["NOT_FOUND"]
            return
        assert answer["deletedId"] == tag.id
        self._refresh(ids(self.model.delete_tag(tag)))

    @precondition(lambda self: self.model.media)
    @rule(data=st.data(), title=st.sampled_from(TITLES), visibility=st.sampled_from([None, PUBLIC, PRIVATE]))
    def update(self, data: st.DataObject, title: str | None, visibility: str | None) -> None:
        """Its title, and perhaps who may look at it."""
        media = self._draw_media(data)
        given = {"id": media.id, "title": title, "visibility": visibility}
        answer = self.service.ask(media.owner, UPDATE, input=given)["updateMedia"]
        wanted = (title, visibility or media.visibility)
        if wanted != (media.title, media.visibility):
            media = self.model.change(media, title=wanted[0], visibility=wanted[1])
            self._refresh([media.id])
            self.service.work()
        assert answer["media"]["version"] == media.version

    @precondition(lambda self: self.model.media)
    @rule(data=st.data())
    def publish_or_take_back(self, data: st.DataObject) -> None:
        media = self._draw_media(data)
        other = PRIVATE if media.visibility == PUBLIC else PUBLIC
        self.service.ask(media.owner, UPDATE, input={"id": media.id, "visibility": other})
        self.model.change(media, visibility=other)
        self._refresh([media.id])
        self.service.work()

    @precondition(lambda self: any(media.status == "UPLOADING" for media in self.model.media.values()))
    @rule(data=st.data())
    def develop(self, data: st.DataObject) -> None:
        """Send the bytes, say so, and let them be processed to the end."""
        waiting = [media.id for media in self.model.media.values() if media.status == "UPLOADING"]
        media = self.model.media[data.draw(st.sampled_from(waiting))]
        self.service.store(*self.keys[media.id])
        self.service.ask(media.owner, FINALIZE, id=self.uploads[media.id])
        self.service.work()
        media = self.model.change(media, "STATUS_CHANGED", status="PROCESSING")
        media = self.model.change(media)  # inspected
        self.model.change(media, "STATUS_CHANGED", status="READY")
        self._refresh([media.id])

    @precondition(lambda self: self.model.media)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        media = self._draw_media(data)
        self.service.ask(media.owner, ABORT, id=self.uploads[media.id])
        if media.status == "UPLOADING":
            self.model.change(media, "STATUS_CHANGED", status="FAILED")
            self._refresh([media.id])

    @precondition(lambda self: self.model.media)
    @rule(data=st.data(), actor=st.sampled_from(OWNERS))
    def delete(self, data: st.DataObject, actor: Viewer) -> None:
        media = self._draw_media(data)
        answer = self.service.ask(actor, DELETE, id=media.id)["deleteMedia"]
        if media.owner != actor:
            assert [error["code"] for error in answer["userErrors"]] == ["NOT_FOUND"]
            return
        assert answer["deletedId"] == media.id
        self.model.delete(media)

    # Reading.

    @rule(
        viewer=st.sampled_from(VIEWERS),
        filter=filters,
        data=st.data(),
        order=st.sampled_from(sorted(ORDERS)),
        size=st.integers(1, 4),
        from_end=st.booleans(),
    )
    def page_through(
        self, viewer: Viewer, filter: Filter, data: st.DataObject, order: str, size: int, from_end: bool
    ) -> None:
        if filter.scope == "ALL" and not viewer.admin:
            return
        filter = self._about_media(filter, data)
        pages = list(self._pages(viewer, filter, order, size, from_end))
        nodes = [node for page in pages for node in page["nodes"]]
        if from_end:
            nodes = [node for page in reversed(pages) for node in page["nodes"]]
        wanted = self.model.media_of(viewer, filter, order)
        assert nodes == [self._shown(viewer, media) for media in wanted]
        assert {page["totalCount"] for page in pages} == {len(wanted)}

    @invariant()
    def every_list_and_count_is_the_models(self) -> None:
        for viewer in VIEWERS:
            for scope in ("MINE", "PUBLIC", "ALL") if viewer.admin else ("MINE", "PUBLIC"):
                page = self._page(viewer, Filter(scope=scope), "CREATED_AT_DESC", first=100)
                wanted = self.model.media_of(viewer, Filter(scope=scope))
                assert page["nodes"] == [self._shown(viewer, media) for media in wanted]
                assert page["totalCount"] == len(wanted)
            tags = self.model.tags_of(viewer)
            answer = self.service.ask(viewer, TAGS)["tags"]
            assert answer == {"totalCount": len(tags), "nodes": [self._tag_node(tag) for tag in tags]}

    @invariant()
    def every_stream_has_told_what_the_model_says(self) -> None:
        for follower in self.followers:
            wanted = self.model.told(follower.viewer, follower.filter, follower.since)
            self.service.wait_until_told(follower, sum(map(len, wanted.values())))
            assert dict(follower.received) == wanted

    # How the model is fed and asked.

    def _about_media(self, filter: Filter, data: st.DataObject) -> Filter:
        """Perhaps only some media, or those around one."""
        if not self.model.media or not data.draw(st.booleans()):
            return filter
        known = list(self.model.media)
        chosen = data.draw(st.none() | st.frozensets(st.sampled_from(known), max_size=3))
        moments = st.none() | st.sampled_from(known).map(lambda id: self.model.media[id].created_at)
        return replace(
            filter, ids=chosen, created_after=data.draw(moments), created_before=data.draw(moments)
        )

    def _draw_media(self, data: st.DataObject) -> Media:
        return self.model.media[data.draw(st.sampled_from(list(self.model.media)))]

    def _draw_tag(self, data: st.DataObject) -> Tag:
        return self.model.tags[data.draw(st.sampled_from(list(self.model.tags)))]

    def _tag_ids(self, owner: Viewer, names: list[str], *, create: bool) -> frozenset[str]:
        """Of the tags that are there now; new ones are read from the service."""
        wanted = {SLUGS[name]: name.strip() for name in reversed(names)}
        if create and any(self.model.tag_of(owner, slug) is None for slug in wanted):
            for node in self.service.ask(owner, TAGS)["tags"]["nodes"]:
                if self.model.tag_of(owner, node["slug"]) is None:
                    assert node["name"] == wanted[node["slug"]]
                    tag = Tag(id=node["id"], owner=owner, name=node["name"], slug=node["slug"])
                    self.model.tags[tag.id] = tag
        found = (self.model.tag_of(owner, slug) for slug in wanted)
        return frozenset(tag.id for tag in found if tag is not None)

    def _refresh(self, changed: Any) -> None:
        """The service's clock decides when something was changed."""
        if not changed:
            return
        for node in self.service.ask(ADMIN, NODES, ids=list(changed))["nodes"]:
            media = self.model.media[node["id"]]
            assert node["version"] == media.version
            moment = datetime.fromisoformat(node["updatedAt"])
            assert moment >= media.updated_at
            object.__setattr__(media, "updated_at", moment)

    def _pages(self, viewer: Viewer, filter: Filter, order: str, size: int, from_end: bool) -> Iterator[Json]:
        cursor = None
        while True:
            bounds = {"last": size, "before": cursor} if from_end else {"first": size, "after": cursor}
            page = self._page(viewer, filter, order, **bounds)
            yield page
            info = page["pageInfo"]
            if not info["hasPreviousPage" if from_end else "hasNextPage"]:
                return
            cursor = info["startCursor" if from_end else "endCursor"]

    def _page(self, viewer: Viewer, filter: Filter, order: str, **bounds: Any) -> Json:
        variables = {"filter": list_filter(filter), "order": order, **bounds}
        page: Json = self.service.ask(viewer, LIST, **variables)["mediaItems"]
        for node in page["nodes"]:
            node["tags"] = sorted(tag["id"] for tag in node["tags"])
            addresses = [rendition["url"]["expiresAt"] is None for rendition in node["renditions"]]
            node["renditions"] = sorted(set(addresses))
        return page

    def _shown(self, viewer: Viewer, media: Media) -> Json:
        upload = {"id": self.uploads[media.id]} if media.owner == viewer else None
        return {
            "id": media.id,
            "version": media.version,
            "status": media.status,
            "visibility": media.visibility,
            "title": media.title,
            "filename": media.filename,
            "size": media.size,
            "tags": sorted(media.tag_ids),
            "upload": upload,
            # Whether their addresses are public ones.
            "renditions": [media.visibility == PUBLIC] if media.status == "READY" else [],
        }

    def _tag_node(self, tag: Tag) -> Json:
        carriers = self.model.media_of(tag.owner, Filter(tags_all=(tag.slug,)))
        return {
            "id": tag.id,
            "name": tag.name,
            "slug": tag.slug,
            "mediaCount": self.model.count_of(tag),
            "media": {"totalCount": len(carriers), "nodes": [{"id": media.id} for media in carriers]},
        }


@pytest.mark.slow
def test_the_service_is_the_model(database: str, tmp_path: Path) -> None:
    with Running(database, tmp_path) as service:
        LibraryMachine.service = service
        run_state_machine_as_test(
            LibraryMachine,
            settings=settings(
                max_examples=int(os.environ.get("DARKROOM_TEST_EXAMPLES", "15")),
                stateful_step_count=30,
                deadline=None,
                print_blob=True,
                # Making a failure small takes minutes: for whoever looks into it, not for CI.
                phases=set(Phase) - ({Phase.shrink} if os.environ.get("CI") else set()),
                suppress_health_check=list(HealthCheck),
            ),
        )
