"""Whether pictures can be decoded, and whether the limits of the child that does it hold.

A tiny picture of each kind goes through the very child that uploads go through.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from app.operations.findings import Finding, ok, problem, warning
from app.operations.sample_pictures import png, written_samples
from app.settings import Settings
from pipeline.facts import LimitExceededError, PipelineError, RenditionFile
from pipeline.images import inspect_image, render_image
from pipeline.limits import MEBIBYTE, ImageLimits
from pipeline.sniff import SUPPORTED_IMAGES

#: PNG first: its renditions are the samples of other kinds.
KINDS = ("PNG", "APNG", *(name for name in SUPPORTED_IMAGES.values() if name != "PNG"))

#: An installation may leave it out, for its licence (docs/decisions/0009).
OPTIONAL, ITS_PACKAGE = "JPEG XL", "pillow_jxl"

#: What the child has mapped already is more, so it can't get through where the kernel keeps the limit.
TOO_LITTLE_MEMORY = 16 * MEBIBYTE


async def check(settings: Settings) -> list[Finding]:
    limits = replace(ImageLimits(), max_pixels=settings.max_pixels)
    with tempfile.TemporaryDirectory(prefix="darkroom-doctor-") as directory:
        job_dir = Path(directory)
        findings = [await check_kinds(job_dir, limits)]
        if findings[0].state != "problem":
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


async def check_kinds(job_dir: Path, limits: ImageLimits) -> Finding:
    """One finding for all kinds: the first that can't be processed, or what is read and what is left out."""
    samples = written_samples()
    left_out = find_spec(ITS_PACKAGE) is None
    kinds = [kind for kind in KINDS if not (left_out and kind == OPTIONAL)]
    for kind in kinds:
        try:
            files = await _process(kind, samples[kind], job_dir, limits)
        except (PipelineError, OSError) as error:
            return _failed(kind, error)
        for file in files:
            samples.setdefault(SUPPORTED_IMAGES[file.mime_type], file.path.read_bytes())
    *others, last = kinds
    sentence = f"The decoding child reads {', '.join(others)} and {last}, and writes WebP, AVIF and JPEG."
    return ok(
        "pictures", f"{sentence} {OPTIONAL} is left out of this installation." if left_out else sentence
    )


async def _process(kind: str, data: bytes, job_dir: Path, limits: ImageLimits) -> Sequence[RenditionFile]:
    source = job_dir / "sample"
    source.write_bytes(data)
    await inspect_image(source, job_dir, limits)
    return () if kind == "SVG" else (await render_image(source, job_dir, limits)).files


def _failed(kind: str, error: PipelineError | OSError) -> Finding:
    notes = " ".join(getattr(error, "__notes__", []))
    if isinstance(error, LimitExceededError):
        sentence = f"Even a tiny {kind} picture is refused: {error} {notes}".strip()
        return warning("pictures", sentence, "Raise DARKROOM_MAX_PIXELS, or give Darkroom more memory.")
    return problem(
        "pictures",
        f"A {kind} picture can't be processed: {error} {notes}".strip(),
        "Run make setup; on Linux libvips comes with it and needs glibc 2.28 or newer.",
    )


async def _check_memory_limit(job_dir: Path) -> Finding:
    source = job_dir / "sample"
    source.write_bytes(png())
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
