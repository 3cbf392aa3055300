"""A GIF's blocks, walked to its end: libvips shows a file that breaks off as if it were a shorter one."""

from pipeline.limited.refusals import RefusalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

#: Blocks have at most 255 bytes each. Walking so many takes half a second; they hold at least 50 MB.
MAX_BLOCKS = 1_000_000
COLOUR_TABLE = 0x80


def check_complete(source: str) -> None:
    """RefusalError unless every block is there, up to the trailer."""
    with open(source, "rb") as file:
        screen = take(file, 13)
        skip_colours(file, screen[10])
        blocks = 0
        while (introducer := take(file, 1)) != b"\x3b":
            if introducer == b"\x2c":
                skip_colours(file, take(file, 9)[8])
                take(file, 1)
            elif introducer == b"\x21":
                take(file, 1)
            elif introducer != b"\0":  # Some encoders pad between blocks.
                raise RefusalError("corrupt", "something that is no block stands between its blocks")
            if introducer != b"\0":
                blocks += skip_parts(file, MAX_BLOCKS - blocks)
            blocks += 1


def skip_parts(file: "BinaryIO", allowed: int) -> int:
    for count in range(allowed):
        length = take(file, 1)[0]
        if length == 0:
            return count
        take(file, length)
    raise RefusalError("limit", f"It has more than {MAX_BLOCKS:,} blocks.")


def skip_colours(file: "BinaryIO", flags: int) -> None:
    if flags & COLOUR_TABLE:
        take(file, 3 << ((flags & 7) + 1))


def take(file: "BinaryIO", count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise RefusalError("corrupt", "the file ends before its trailer")
    return content
