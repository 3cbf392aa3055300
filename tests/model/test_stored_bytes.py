"""Two owners send, share and delete the same few files in every order; nobody loses or gains bytes."""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from db.models import User
from services.dedup import Dedup
from services.repeated_requests import RequestedUpload
from storage.objects import MIN_PART_BYTES, SignedPut
from tests.model.stored import BROKEN, RunningStored, StoredBytes, blocks_of, sha256

#: Of two sizes in one PUT and of one in two parts; the last two share their first part.
FILES = (
    b"first",
    b"other",
    BROKEN + b"!",
    b"x" * MIN_PART_BYTES + b"end",
    b"x" * MIN_PART_BYTES + b"END",
)

#: Of one owner: two of the large files, and some small ones.
QUOTA = 2 * len(FILES[-1]) + 24

#: By their numbers: hypothesis would write the files themselves into what it says.
files = st.integers(min_value=0, max_value=len(FILES) - 1).map(FILES.__getitem__)
owners = st.integers(min_value=0, max_value=1)
hashes = st.sampled_from(["none", "own", "own", "false"])
chosen = st.integers(min_value=0, max_value=1_000)
#: What may be done at once.
deeds = st.sampled_from(["request", "send", "finalize", "answer", "abort", "delete", "process", "collect"])


request = {"owner": owners, "data": files, "hash": hashes, "blocks": st.booleans(), "public": st.booleans()}
media = {"number": chosen}

#: What may happen, by the method that does it.
ACTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "request": request,
    "upload": request | {"proves": st.booleans()},
    "send": media
    | {"other": st.sampled_from([False] * 4 + [True]), "at_most": st.sampled_from([1, 100, 100])},
    "finalize": media,
    "answer": media | {"known": st.sampled_from([True, True, False])},
    "sign": media,
    "send_late": media,
    "send_after_the_end": media
    | {"ended": st.sampled_from(["abort", "expire", "delete"]), "is_collected": st.booleans()},
    "abort": media,
    "delete": media | {"is_collected": st.booleans()},
    "expire": {},
    "process": {"one": st.booleans()},
    "collect": {},
    "publish": {},
    "do_at_once": media
    | {"deeds": st.lists(st.tuples(deeds, chosen, owners, files), min_size=2, max_size=3)},
}


@dataclass(kw_only=True)
class Asked:
    """What the model knows of a media: `held` is what it takes of its owner's quota."""

    owner: int
    media_id: UUID
    upload_id: UUID
    data: bytes
    claimed: str | None
    held: int
    open: bool


#: What every run has to have seen, by the story that it begins with if not by chance.
EXPECTED = (
    "known",
    "another owner's blob",
    "proved",
    "part of a file sent",
    "refused by quota",
    "late bytes taken",
    "late bytes refused",
    "late bytes removed",
    "public copies",
    "READY",
    "PROCESSING",
    "FAILED CHECKSUM_MISMATCH",
    "FAILED CORRUPT_INPUT",
    "FAILED CANCELLED",
    "FAILED UPLOAD_EXPIRED",
)


class StoredMachine(RuleBasedStateMachine):
    stored: StoredBytes
    #: What has happened in any example: a run in which too little did proves nothing.
    seen: ClassVar[Counter[str]] = Counter()

    @initialize(dedup=st.sampled_from(list(Dedup)))
    def begin(self, dedup: Dedup) -> None:
        self.dedup = dedup
        self.users: list[User] = self.stored.run(self.stored.begin(dedup, quota=QUOTA))
        self.asked: list[Asked] = []
        #: Addresses that were signed and may be used whenever: whose, and with which bytes.
        self.signed: list[tuple[int, SignedPut, bytes]] = []
        #: Whether bytes may have come, or been made, that no row knows.
        self.may_leave = False
        #: By owner: the blocks whose bytes came from them.
        self.shown: list[set[bytes]] = [set(), set()]

    @rule(act=st.one_of([st.tuples(st.just(name), st.fixed_dictionaries(ACTS[name])) for name in ACTS]))
    def act(self, act: tuple[str, dict[str, Any]]) -> None:
        """Any of them as likely as any other: rules of their own are left out of half the examples."""
        name, values = act
        is_possible = {
            "send_late": bool(self.signed),
            "send_after_the_end": any(asked.open for asked in self.asked),
        }.get(name, bool(self.asked) or "number" not in values)
        if is_possible:
            getattr(self, name)(**values)

    def request(self, owner: int, data: bytes, hash: str, blocks: bool, public: bool) -> None:
        self._request(owner, data, hash, blocks, public)

    def upload(self, owner: int, data: bytes, hash: str, blocks: bool, public: bool, proves: bool) -> None:
        """All that a client does, and the processing: else little would ever be known."""
        asked = self._request(owner, data, hash, blocks, public)
        if asked is None:
            return
        if proves:
            self._answer(asked, data)
        self._send(asked, data, at_most=100)
        self._finalize(asked)
        self.process(one=False)

    def _request(self, owner: int, data: bytes, hash: str, blocks: bool, public: bool) -> Asked | None:
        false = sha256(FILES[(FILES.index(data) + 1) % len(FILES)])
        claimed = {"none": None, "own": sha256(data), "false": false}[hash]
        made = self.stored.run(
            self.stored.request(self.users[owner], data, claimed=claimed, with_blocks=blocks, public=public)
        )
        used = sum(asked.held for asked in self.asked if asked.owner == owner)
        assert (made is None) == (used + len(data) > QUOTA)
        if made is None:
            self.seen["refused by quota"] += 1
            return None
        return self._add(owner, data, claimed, made)

    def _add(self, owner: int, data: bytes, claimed: str | None, made: RequestedUpload) -> Asked:
        asked = Asked(
            owner=owner,
            media_id=made.media.id,
            upload_id=made.upload.id,
            data=data,
            claimed=claimed,
            held=len(data),
            open=not made.upload.is_stored,
        )
        self.asked.append(asked)
        self.seen["known"] += made.upload.is_stored
        return asked

    def send(self, number: int, other: bool, at_most: int) -> None:
        asked = self._choose(number)
        data = asked.data
        if other:
            data = next((each for each in FILES if len(each) == len(data) and each != data), data)
        self._send(asked, data, at_most)

    def _send(self, asked: Asked, data: bytes, at_most: int) -> None:
        taken = self.stored.run(
            self.stored.send(self.users[asked.owner], asked.upload_id, data, at_most=at_most)
        )
        self.seen["part of a file sent"] += 0 < sum(map(len, taken)) < len(data)
        for body in taken:
            self.shown[asked.owner].update(map(_digest, blocks_of(body)))

    def finalize(self, number: int) -> None:
        self._finalize(self._choose(number))

    def _finalize(self, asked: Asked) -> None:
        if not self.stored.run(self.stored.finalize(self.users[asked.owner], asked.upload_id)):
            asked.open = False

    def answer(self, number: int, known: bool) -> None:
        asked = self._choose(number)
        self._answer(asked, asked.data if known else bytes(len(asked.data)))

    def _answer(self, asked: Asked, data: bytes) -> None:
        if not self.stored.run(self.stored.prove(self.users[asked.owner], asked.upload_id, data)):
            assert self.dedup is Dedup.GLOBAL_FAST
            assert data == asked.data
            asked.open = False
            self.seen["proved"] += 1
            self.shown[asked.owner].update(map(_digest, blocks_of(data)))

    def sign(self, number: int) -> None:
        """Addresses that outlive what happens to their upload."""
        asked = self._choose(number)
        signed = self.stored.run(self.stored.sign(self.users[asked.owner], asked.upload_id, asked.data))
        self.signed += [(asked.owner, target, body) for target, body in signed]

    def send_late(self, number: int) -> None:
        self._send_late(*self.signed[number % len(self.signed)])

    def _send_late(self, owner: int, target: SignedPut, body: bytes) -> None:
        taken = self.stored.run(self.stored.send_late(target, body))
        self.seen[f"late bytes {'taken' if taken else 'refused'}"] += 1
        if taken:
            self.may_leave = True
            self.shown[owner].update(map(_digest, blocks_of(body)))

    def send_after_the_end(self, number: int, ended: str, is_collected: bool) -> None:
        """As a client whose bytes were on their way: more often than the rules would meet."""
        pending = [asked for asked in self.asked if asked.open]
        asked = pending[number % len(pending)]
        signed = self.stored.run(self.stored.sign(self.users[asked.owner], asked.upload_id, asked.data))
        place = self.asked.index(asked)
        if ended == "expire":
            self.expire()
        elif ended == "abort":
            self.abort(place)
        else:
            self.delete(place, is_collected=False)
        if is_collected:
            self.collect()
        for target, body in signed:
            self._send_late(asked.owner, target, body)

    def abort(self, number: int) -> None:
        asked = self._choose(number)
        refusal = self.stored.run(self.stored.abort(self.users[asked.owner], asked.upload_id))
        if asked.open:
            assert not refusal
        if not refusal:
            asked.open, asked.held = False, 0

    def delete(self, number: int, is_collected: bool) -> None:
        """Collected at once more often than the two rules would meet."""
        asked = self._choose(number)
        assert not self.stored.run(self.stored.delete(self.users[asked.owner], asked.media_id))
        self.asked.remove(asked)
        if is_collected:
            self.collect()

    def expire(self) -> None:
        self.stored.run(self.stored.expire())
        for asked in self.asked:
            if asked.open:
                asked.open, asked.held = False, 0

    def process(self, one: bool) -> None:
        self.stored.run(self.stored.process(one=one))

    def collect(self) -> None:
        self.stored.run(self.stored.collect())
        left = self.stored.run(self.stored.unreferenced())
        if self.may_leave:
            # What came when nobody was to collect it any more is the reconciler's.
            assert self.stored.run(self.stored.reconcile()) >= len(left)
            self.seen["late bytes removed"] += len(left)
            left, self.may_leave = self.stored.run(self.stored.unreferenced()), False
        assert left == []

    def publish(self) -> None:
        copies, expected = self.stored.run(self.stored.publish())
        assert copies == expected
        self.seen["public copies"] += len(copies)

    def do_at_once(self, number: int, deeds: list[tuple[str, int, int, bytes]]) -> None:
        """Two or three things in whatever order they come; half of the time to the same media."""
        together = number % 2 == 0
        works = [
            self._deed(name, self._choose(number if together else each), owner, data)
            for name, each, owner, data in deeds
        ]
        self.stored.run(_gather(works))
        self.may_leave = True
        self.seen["at once " + " ".join(sorted(name for name, *_ in deeds))] += 1
        self._learn_what_happened()

    async def _deed(self, name: str, asked: Asked, owner: int, data: bytes) -> None:
        stored, user = self.stored, self.users[asked.owner]
        match name:
            case "request":
                made = await stored.request(
                    self.users[owner], data, claimed=sha256(data), with_blocks=True, public=True
                )
                if made is not None:
                    self._add(owner, data, sha256(data), made)
            case "send":
                for body in await stored.send_meanwhile(user, asked.upload_id, asked.data):
                    self.shown[asked.owner].update(map(_digest, blocks_of(body)))
            case "finalize":
                await stored.finalize(user, asked.upload_id)
            case "answer":
                if not await stored.prove_meanwhile(user, asked.upload_id, asked.data):
                    self.shown[asked.owner].update(map(_digest, blocks_of(asked.data)))
            case "abort":
                await stored.abort(user, asked.upload_id)
            case "delete":
                await stored.delete(user, asked.media_id)
            case "process":
                await stored.process(one=False)
            case "collect":
                await stored.collect()

    def _learn_what_happened(self) -> None:
        """Of what was done at once any order will do; what came of it must go together all the same."""
        found = {each.media.id: each for each in self.stored.run(self.stored.state())}
        self.asked = [asked for asked in self.asked if asked.media_id in found]
        for asked in self.asked:
            each = found[asked.media_id]
            has_ended = each.upload.status in ("ABORTED", "EXPIRED")
            asked.open = each.upload.status == "PENDING"
            asked.held = 0 if has_ended else asked.held
            assert not has_ended or each.media.status == "FAILED"
            assert asked.open == (each.media.status == "UPLOADING")

    @invariant()
    def nothing_is_lost_or_given_away(self) -> None:
        held = {0: 0, 1: 0}
        by_id = {asked.media_id: asked for asked in self.asked}
        state = self.stored.run(self.stored.state())
        assert {each.media.id for each in state} == set(by_id)
        for each in state:
            asked = by_id[each.media.id]
            assert each.lacks == []
            if each.media.failure_code == "CHECKSUM_MISMATCH":
                assert asked.claimed is not None
                asked.held = 0
            held[asked.owner] += asked.held
            self.seen[f"{each.media.status} {each.media.failure_code or ''}".strip()] += 1
            self.seen["another owner's blob"] += each.blob_owner != each.media.owner_id
            if each.content is None:
                assert each.media.status in ("UPLOADING", "FAILED")
                continue
            # Every block of it came from its owner, whoever else has it too.
            assert self.shown[asked.owner].issuperset(map(_digest, blocks_of(each.content)))
            if each.media.sha256_verified:
                assert each.media.sha256 == sha256(each.content)
                assert asked.claimed in (None, each.media.sha256)
            assert (each.media.status == "READY") <= each.media.sha256_verified
        assert max(held.values()) <= QUOTA
        used = self.stored.run(self.stored.used_bytes())
        assert [used[user.id] for user in self.users] == [(held[0], held[0]), (held[1], held[1])]

    def _choose(self, number: int) -> Asked:
        return self.asked[number % len(self.asked)]


def _digest(block: bytes) -> bytes:
    return bytes.fromhex(sha256(block))


def tell_the_story(machine: StoredMachine) -> None:
    """Everything that can come of an upload, once: chance alone would need many examples."""
    small, other, broken, large, similar = FILES

    def do(name: str, **values: Any) -> None:
        if "data" in values:
            values = {"hash": "own", "blocks": True, "public": False} | values
        if name == "upload":
            values = {"proves": False} | values
        elif "data" not in values and "number" in ACTS[name]:
            values = {"number": len(machine.asked) - 1} | values
        getattr(machine, name)(**values)
        machine.nothing_is_lost_or_given_away()

    machine.begin(dedup=Dedup.GLOBAL_FAST)
    do("upload", owner=0, data=large, public=True)
    do("publish")
    do("upload", owner=1, data=large, proves=True)
    do("upload", owner=0, data=similar)
    do("request", owner=0, data=large)
    do("upload", owner=1, data=similar, hash="false", blocks=False)
    do("upload", owner=1, data=broken)
    do("request", owner=0, data=small)
    do("sign")
    do("send", other=False, at_most=100)
    do("finalize")
    do("send_late", number=0)
    do("process", one=False)
    do("upload", owner=0, data=small)
    do("request", owner=1, data=other, hash="none")
    do("abort")
    do("request", owner=1, data=other, hash="none")
    do("send_after_the_end", number=0, ended="expire", is_collected=True)
    do("collect")
    do("do_at_once", number=0, deeds=[("delete", 0, 0, small), ("request", 0, 0, large)])
    do("do_at_once", number=1, deeds=[("process", 0, 0, small), ("collect", 0, 0, small)])
    do("collect")
    do("publish")
    machine.teardown()


async def _gather(works: list[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*works)


@pytest.mark.slow
def test_no_byte_is_lost_kept_or_given_away(database: str, tmp_path: Path) -> None:
    with RunningStored(database, tmp_path) as stored:
        StoredMachine.stored = stored
        tell_the_story(StoredMachine())
        run_state_machine_as_test(
            StoredMachine,
            settings=settings(
                max_examples=int(os.environ.get("DARKROOM_TEST_EXAMPLES", "12")),
                stateful_step_count=40,
                deadline=None,
                print_blob=True,
                # Making a failure small takes minutes: for whoever looks into it, not for CI.
                phases=set(Phase) - ({Phase.shrink} if os.environ.get("CI") else set()),
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert [each for each in EXPECTED if not StoredMachine.seen[each]] == [], StoredMachine.seen
