"""How much one piece of work may cost before it is ended."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What a picture may ask for: the first two are read off its header, the kernel enforces the others.

    `address_space_bytes` counts what the process maps, not what it touches. The costliest pictures of 100 MP
    (progressive 4:4:4 JPEG, interlaced 16-bit RGBA PNG) fit in 1,000 MiB and not in 700; noise of
    1920 × 16,376 needs more than 1,000, for its AVIF.
    """

    #: width × height × pages
    max_pixels: int = 100_000_000
    max_pages: int = 1_000
    #: from the start of the process to its end
    wall_seconds: float = 60.0
    #: of all threads together
    cpu_seconds: int = 60
    address_space_bytes: int = 1536 * MEBIBYTE
    #: of one rendition
    output_file_bytes: int = 64 * MEBIBYTE
    open_files: int = 64
    #: decoding and encoding threads of libvips
    threads: int = 2
