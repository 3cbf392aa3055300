"""Boxes of ISO's base media format (ISO/IEC 14496-12), of which HEIC, AVIF and JPEG XL's container are made.

A box states its own length, which may be anything: it is held against the bytes that are there before a
position or an amount is made of it.
"""

from struct import unpack_from

from pipeline.limited.refusals import RefusalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

#: Bytes of length and kind, and of the longer length that may follow them.
HEAD_BYTES, LONG_HEAD_BYTES = 8, 16


def boxes_of(file: "BinaryIO", maximum: int) -> "Iterator[tuple[bytes, int, bool]]":
    """Kind, bytes of content that are there, and whether those are all; of at most `maximum` boxes.

    `file` stands at the content of each. RefusalError for a box that is shorter than its own head.
    """
    end, at = file.seek(0, 2), 0
    for _ in range(maximum):
        if at + HEAD_BYTES > end:
            return
        file.seek(at)
        kind, head_bytes, stated = head_of(file.read(LONG_HEAD_BYTES), end - at)
        there = min(stated, end - at)
        file.seek(at + head_bytes)
        yield kind, there - head_bytes, there == stated
        at += there


def boxes_in(content: bytes) -> "Iterator[tuple[bytes, bytes]]":
    """Kind and content of the boxes that another box contains; the last may be cut off."""
    at = 0
    while at + HEAD_BYTES <= len(content):
        kind, head_bytes, stated = head_of(content[at : at + LONG_HEAD_BYTES], len(content) - at)
        yield kind, content[at + head_bytes : at + stated]
        at += stated


def head_of(head: bytes, left: int) -> "tuple[bytes, int, int]":
    """Kind, bytes of the head, and bytes of the whole box as stated; 0 stands for all that is left."""
    stated, kind = unpack_from(">I4s", head)
    head_bytes = HEAD_BYTES
    if stated == 1:
        head_bytes = LONG_HEAD_BYTES
        stated = int.from_bytes(head[HEAD_BYTES:], "big")
    elif stated == 0:
        stated = left
    if stated < head_bytes or left < head_bytes:
        raise RefusalError("corrupt", "a box is shorter than its own head")
    return kind, head_bytes, stated
