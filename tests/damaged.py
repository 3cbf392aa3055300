"""Damages the headers of sound files at random; as a program, has many of each kind inspected.

`python -m tests.damaged SEED TIMES FILE` writes each into FILE and prints, as JSON, how often
`pipeline.decoder` answered with facts, and with each kind of refusal.
"""

import json
import random
import resource
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

from pipeline import decoder
from pipeline.limits import ImageLimits
from pipeline.sniff import sniff
from tests import pictures, stored_pictures

#: Small, so that little of them is not header.
SOUND = {
    "jpeg": pictures.jpeg(gps=True),
    "png": pictures.png(8, 8, gps=True),
    "apng": pictures.apng(8, 8),
    "webp": pictures.webp(8, 8, frames=3),
    "gif": pictures.gif(8, 8, frames=3),
    "heic": stored_pictures.PLAIN,
    "avif": pictures.avif(8, 8),
    "tiff": pictures.tiff(8, 8),
    "bigtiff": pictures.tiff(8, 8, bigtiff=True),
    "jxl": pictures.jxl(8, 8)[:16],
    "jxl container": pictures.jxl(8, 8, container=True),
    "svg": pictures.svg("<style>a { b: c }</style>", before="<!DOCTYPE svg>"),
}
#: Bytes from the start; what follows is pixels for the most part.
HEADER_BYTES = 800
#: What lengths, counts and places are worst at.
EXTREMES = (0, 1, 2, 7, 8, 127, 128, 255)
CUT_OFF = 0.1


def header(sound: bytes, luck: random.Random) -> bytes:
    """`sound` with up to four places of its header overwritten, perhaps cut off; of the same type still."""
    while True:
        content = overwritten(sound, luck)
        if sniff(content).mime_type == sniff(sound).mime_type:
            return with_checksums(content) if sound[:4] == b"\x89PNG" else content


def overwritten(sound: bytes, luck: random.Random) -> bytes:
    content = bytearray(sound)
    end = min(len(content), HEADER_BYTES)
    for _ in range(luck.randint(1, 4)):
        width = luck.choice((1, 1, 2, 4, 8))
        at = luck.randrange(end)
        last = luck.choice((*EXTREMES, luck.randrange(256)))
        first = luck.choice((0, last))
        content[at : at + width] = bytes([first]) * (width - 1) + bytes([last])
    if luck.random() < CUT_OFF:
        del content[luck.randrange(1, end) :]
    return bytes(content)


def with_checksums(png: bytes) -> bytes:
    """Chunks of which the checksums are right: else that is all that a decoder would say."""
    chunks, at = [png[:8]], 8
    while at + 8 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        typed = png[at + 4 : at + 8 + length]
        chunks.append(png[at : at + 4] + typed + struct.pack(">I", zlib.crc32(typed)))
        at += 12 + length
    return b"".join(chunks)


def main(seed: str, times: str, path: str) -> None:
    limits = ImageLimits()
    resource.setrlimit(resource.RLIMIT_AS, (limits.address_space_bytes,) * 2)
    bounds = {"max_pixels": limits.max_pixels, "max_pages": limits.max_pages}
    answers = {kind: inspected(kind, seed, int(times), Path(path), bounds) for kind in SOUND}
    json.dump(answers, sys.stdout)


def inspected(kind: str, seed: str, times: int, path: Path, bounds: dict[str, int]) -> dict[str, int]:
    """How often each answer came: "facts", or a kind of refusal."""
    luck, answers = random.Random(f"{seed} {kind}"), Counter[str]()
    request = {
        "task": "inspect",
        "source": str(path),
        "mime_type": sniff(SOUND[kind]).mime_type,
        "limits": bounds,
    }
    for _ in range(times):
        path.write_bytes(header(SOUND[kind], luck))
        answers[str(decoder.perform(request).get("refusal", "facts"))] += 1
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
