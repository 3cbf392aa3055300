"""Whether pictures can be decoded, and whether the limits of the child that does it hold.

Tiny pictures that are made here go through the very child that uploads go through.
"""

import struct
import tempfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from app.operations.findings import Finding, ok, problem, warning
from app.settings import Settings
from pipeline.facts import PipelineError
from pipeline.images import inspect_image, render_image
from pipeline.limits import MEBIBYTE, ImageLimits
from pipeline.sniff import SUPPORTED_IMAGES

SIDE = 16

#: What the child has mapped already is more, so it can't get through where the kernel keeps the limit.
TOO_LITTLE_MEMORY = 16 * MEBIBYTE

#: One pixel.
_GIF = (
    b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"  # the screen, black and white
    b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
)


async def check(settings: Settings) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="darkroom-doctor-") as directory:
        job_dir = Path(directory)
        findings = [finding async for finding in _check_formats(job_dir)]
        if not any(finding.state == "problem" for finding in findings):
            findings.append(await _check_memory_limit(job_dir))
    findings.append(
        warning(
            "sandbox",
            "The child that decodes is limited (memory, time, files), but not yet a sandbox: a decoder that "
            "is taken over runs as the service's user, with its files and its network.",
            "Run Darkroom as a user of its own, best in its container, until there is one.",
        )
    )
    return findings


async def _check_formats(job_dir: Path) -> AsyncIterator[Finding]:
    """PNG first, because its renditions are the samples of other types."""
    samples = {"image/png": _png(), "image/gif": _GIF}
    names = []
    for mime_type in sorted(SUPPORTED_IMAGES, key=lambda each: each not in samples):
        name = SUPPORTED_IMAGES[mime_type]
        if mime_type not in samples:
            yield warning("pictures", f"{name} was not tried: there is no sample of it.", "Upload one.")
            continue
        source = job_dir / "sample"
        source.write_bytes(samples[mime_type])
        try:
            await inspect_image(source, job_dir, ImageLimits())
            made = await render_image(source, job_dir, ImageLimits())
        except (PipelineError, OSError) as error:
            notes = " ".join(getattr(error, "__notes__", []))
            yield problem(
                "pictures",
                f"A {name} picture can't be processed: {error} {notes}".strip(),
                "Run make setup; on Linux libvips comes with it and needs glibc 2.28 or newer.",
            )
            return
        for file in made.files:
            samples.setdefault(file.mime_type, file.path.read_bytes())
        names.append(name)
    yield ok("pictures", f"The decoding child reads {', '.join(names)} and writes WebP, AVIF and JPEG.")


async def _check_memory_limit(job_dir: Path) -> Finding:
    source = job_dir / "sample"
    source.write_bytes(_png())
    limits = replace(ImageLimits(), address_space_bytes=TOO_LITTLE_MEMORY)
    try:
        await inspect_image(source, job_dir, limits)
    except PipelineError:
        return ok("child-limits", "The kernel keeps the decoding child within its memory.")
    return problem(
        "child-limits",
        "The kernel does not limit the memory of the decoding child (RLIMIT_AS): a hostile picture could "
        "take all there is.",
        "Limit the memory from outside, as a container does, or run it on Linux itself.",
    )


def _png() -> bytes:
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    row = b"\0" + bytes((200, 120, 40)) * SIDE
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * SIDE)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
