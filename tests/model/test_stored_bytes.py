"""Two owners send, share and delete the same few files in every order; nobody loses or gains bytes."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
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

from db.models import User
from services.known_bytes import Dedup
from storage.objects import MIN_PART_BYTES
from tests.model.stored import BROKEN, RunningStored, StoredBytes, blocks_of, sha256

#: Of two sizes in one PUT and of one in two parts; the last two share their first part.
FILES = (
    b"first",
    b"other",
    BROKEN + b"!",
    b"x" * MIN_PART_BYTES + b"end",
    b"x" * MIN_PART_BYTES + b"END",
)

files = st.sampled_from(FILES)
owners = st.integers(min_value=0, max_value=1)
hashes = st.sampled_from(["none", "own", "own", "false"])
chosen = st.integers(min_value=0, max_value=1_000)


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


#: What every run has to have seen.
EXPECTED = (
    "known",
    "another owner's blob",
    "READY",
    "FAILED CHECKSUM_MISMATCH",
)


class StoredMachine(RuleBasedStateMachine):
    stored: StoredBytes
    #: What has happened in any example: a run in which too little did proves nothing.
    seen: ClassVar[Counter[str]] = Counter()

    @initialize(dedup=st.sampled_from(list(Dedup)))
    def begin(self, dedup: Dedup) -> None:
        self.dedup = dedup
        self.users: list[User] = self.stored.run(self.stored.begin(dedup))
        self.asked: list[Asked] = []
        #: By owner: the blocks whose bytes came from them.
        self.shown: list[set[bytes]] = [set(), set()]

    @rule(
        owner=owners, data=files, hash=st.sampled_from(["none", "own", "own", "false"]), blocks=st.booleans()
    )
    def request(self, owner: int, data: bytes, hash: str, blocks: bool) -> None:
        self._request(owner, data, hash, blocks)

    @rule(owner=owners, data=st.sampled_from(FILES[:2] + FILES[3:]), hash=hashes, blocks=st.booleans())
    def upload(self, owner: int, data: bytes, hash: str, blocks: bool) -> None:
        """All that a client does, and the processing: else little would ever be known."""
        asked = self._request(owner, data, hash, blocks)
        self._send(asked, data, at_most=100)
        self._finalize(asked)
        self.process(one=False)

    def _request(self, owner: int, data: bytes, hash: str, blocks: bool) -> Asked:
        false = sha256(FILES[(FILES.index(data) + 1) % len(FILES)])
        claimed = {"none": None, "own": sha256(data), "false": false}[hash]
        made = self.stored.run(
            self.stored.request(self.users[owner], data, claimed=claimed, with_blocks=blocks)
        )
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

    @precondition(lambda self: self.asked)
    @rule(number=chosen, other=st.sampled_from([False] * 4 + [True]), at_most=st.sampled_from([1, 100, 100]))
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

    @precondition(lambda self: self.asked)
    @rule(number=chosen)
    def finalize(self, number: int) -> None:
        self._finalize(self._choose(number))

    def _finalize(self, asked: Asked) -> None:
        if not self.stored.run(self.stored.finalize(self.users[asked.owner], asked.upload_id)):
            asked.open = False

    @precondition(lambda self: self.asked)
    @rule(number=chosen, known=st.sampled_from([True, True, False]))
    def answer(self, number: int, known: bool) -> None:
        asked = self._choose(number)
        data = asked.data if known else bytes(len(asked.data))
        if not self.stored.run(self.stored.prove(self.users[asked.owner], asked.upload_id, data)):
            assert self.dedup is Dedup.GLOBAL_FAST
            assert known
            asked.open = False
            self.seen["proved"] += 1
            self.shown[asked.owner].update(map(_digest, blocks_of(data)))

    @precondition(lambda self: self.asked)
    @rule(number=chosen)
    def abort(self, number: int) -> None:
        asked = self._choose(number)
        refusal = self.stored.run(self.stored.abort(self.users[asked.owner], asked.upload_id))
        if asked.open:
            assert not refusal
        if not refusal:
            asked.open, asked.held = False, 0

    @precondition(lambda self: self.asked)
    @rule(number=chosen, is_collected=st.booleans())
    def delete(self, number: int, is_collected: bool) -> None:
        """Collected at once more often than the two rules would meet."""
        asked = self._choose(number)
        self.stored.run(self.stored.delete(self.users[asked.owner], asked.media_id))
        self.asked.remove(asked)
        if is_collected:
            self.collect()

    @rule()
    def expire(self) -> None:
        self.stored.run(self.stored.expire())
        for asked in self.asked:
            if asked.open:
                asked.open, asked.held = False, 0

    @rule(one=st.booleans())
    def process(self, one: bool) -> None:
        self.stored.run(self.stored.process(one=one))

    @rule()
    def collect(self) -> None:
        self.stored.run(self.stored.collect())
        assert self.stored.run(self.stored.unreferenced()) == []

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
        used = self.stored.run(self.stored.used_bytes())
        assert [used[user.id] for user in self.users] == [(held[0], held[0]), (held[1], held[1])]

    def _choose(self, number: int) -> Asked:
        return self.asked[number % len(self.asked)]


def _digest(block: bytes) -> bytes:
    return bytes.fromhex(sha256(block))


@pytest.mark.slow
def test_no_byte_is_lost_kept_or_given_away(database: str, tmp_path: Path) -> None:
    with RunningStored(database, tmp_path) as stored:
        StoredMachine.stored = stored
        run_state_machine_as_test(
            StoredMachine,
            settings=settings(
                max_examples=int(os.environ.get("DARKROOM_TEST_EXAMPLES", "20")),
                stateful_step_count=40,
                deadline=None,
                print_blob=True,
                # Making a failure small takes minutes: for whoever looks into it, not for CI.
                phases=set(Phase) - ({Phase.shrink} if os.environ.get("CI") else set()),
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert all(StoredMachine.seen[each] for each in EXPECTED), StoredMachine.seen
