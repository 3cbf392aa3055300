"""How the child says that a task has no result, and whose fault that is."""

import os
import re
from errno import EACCES, EAGAIN, EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, ESTALE

#: libvips, libheif, libjpeg and libaom, each in its own words.
OUT_OF_MEMORY = re.compile(
    r"out of memory|memory allocation|insufficient memory"
    r"|(?:unable to|cannot|failed to) m?alloc",
    re.IGNORECASE,
)
#: What the system says when something else than the picture is at fault. EAGAIN: no further thread.
TROUBLE = tuple(map(os.strerror, (EAGAIN, EACCES, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, EDQUOT, ESTALE)))


class RefusalError(Exception):
    """The task has no result: `kind` is one of corrupt, unsupported, limit, memory and trouble.

    The reason is a sentence where the kind is unsupported or limit.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def refused_input(error: Exception) -> RefusalError:
    """Reading and decoding failed: the picture is damaged unless something else is named."""
    return refused(str(error), otherwise="corrupt")


def refused_output(error: Exception) -> RefusalError:
    """Scaling, encoding and writing failed: no fault of a picture that was decoded."""
    return refused(str(error), otherwise="trouble")


def refused(text: str, otherwise: str) -> RefusalError:
    if OUT_OF_MEMORY.search(text):
        return RefusalError("memory", last_line(text))
    if os.strerror(EFBIG) in text:
        return RefusalError("limit", "One of its renditions is larger than the limit for files.")
    named = any(trouble in text for trouble in TROUBLE)
    return RefusalError("trouble" if named else otherwise, last_line(text))


def last_line(text: str) -> str:
    """libvips stacks its messages: the cause is the last one."""
    return text.strip().rpartition("\n")[2].strip()


def check_pixels(width: int, height: int, pages: int, limits: "dict[str, int]") -> None:
    """Refuse what would decode to more pixels than the limit: `pages` of `width` × `height`."""
    pixels = width * height * pages
    if pixels > limits["max_pixels"]:
        frames = f" × {pages:,} frames" if pages > 1 else ""
        raise RefusalError(
            "limit",
            f"It has {pixels:,} pixels ({width:,} × {height:,}{frames}); "
            f"the limit is {limits['max_pixels']:,}.",
        )


def check_pages(pages: int, called: str, limits: "dict[str, int]") -> None:
    if pages > limits["max_pages"]:
        raise RefusalError("limit", f"It has {pages:,} {called}; the limit is {limits['max_pages']:,}.")
