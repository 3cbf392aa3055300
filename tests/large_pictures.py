"""Pictures as large as one likes that cost next to nothing: a TIFF whose pixels stand behind a gap.

The gap is a hole in the file but for a mark in each stretch of it, so that no two stretches are alike. This
is a valid TIFF: its header says where the directory stands, and that where the pixels do.
"""

import os
import struct
from pathlib import Path

WIDTH, HEIGHT = 64, 48

_SHORT, _LONG = 3, 4
_STRIP = bytes(range(256)) * (WIDTH * HEIGHT * 3 // 256)
_ENTRIES = 10


def write_tiff(path: Path, size: int, *, stretch: int) -> None:
    """Write a picture of exactly `size` bytes, at most 4 GiB, with a mark in each `stretch` bytes."""
    strip_at = size - len(_STRIP) - _directory_size()
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, strip_at + len(_STRIP)))
        for at in range(0, strip_at - 16, stretch):
            mark(file.fileno(), at + 8, at)
        file.seek(strip_at)
        file.write(_STRIP)
        file.write(_directory(strip_at))
    assert path.stat().st_size == size


def mark(fd: int, offset: int, number: int) -> None:
    """Make the 8 bytes at `offset` of the gap say `number`."""
    os.pwrite(fd, struct.pack("<Q", number + 1), offset)


def _directory_size() -> int:
    return 2 + _ENTRIES * 12 + 4 + 8


def _directory(strip_at: int) -> bytes:
    bits_at = strip_at + len(_STRIP) + _directory_size() - 8
    entries = [
        (256, _LONG, 1, WIDTH),
        (257, _LONG, 1, HEIGHT),
        (258, _SHORT, 3, bits_at),
        (259, _SHORT, 1, 1),  # not compressed
        (262, _SHORT, 1, 2),  # RGB
        (273, _LONG, 1, strip_at),
        (277, _SHORT, 1, 3),
        (278, _LONG, 1, HEIGHT),
        (279, _LONG, 1, len(_STRIP)),
        (284, _SHORT, 1, 1),  # the three colours of a pixel side by side
    ]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", _ENTRIES) + packed + struct.pack("<I", 0) + struct.pack("<4H", 8, 8, 8, 0)
