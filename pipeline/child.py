"""The process in which untrusted bytes are decoded: `python -I -S pipeline/child.py REQUEST`.

It ties its life to its parent's, gives up what it will not need, does one task and answers with one JSON
object on what was its standard output. Every upload pays for its start, so nothing is imported that is not
needed (`dataclasses` alone takes longer than Python's own start), and it is run by its path: no environment
variable or working directory has a say in what it imports.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    request = json.loads(sys.argv[1])
    die_with(request["parent_pid"])
    offer_self_to_the_oom_killer()
    limit_self(request["limits"])
    answer_fd = keep_answer_channel()
    sys.path += request["import_paths"]

    from pipeline import decoder

    answer = json.dumps(decoder.perform(request), separators=(",", ":")).encode()
    while answer:
        answer = answer[os.write(answer_fd, answer) :]
    os._exit(0)  # Without libvips' teardown: the kernel is faster, and nothing is left to write.


def die_with(parent_pid: int) -> None:
    """Let the kernel kill this process when the thread that forked it ends, however it ends."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        for option, value in ((PR_SET_PDEATHSIG, signal.SIGKILL), (PR_SET_NO_NEW_PRIVS, 1)):
            if prctl(option, value, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent_pid:  # It ended before the request above took hold.
        os._exit(1)


def offer_self_to_the_oom_killer() -> None:
    """When the machine runs out of memory, the kernel is to take this process and not the database."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")


def limit_self(limits: dict[str, int]) -> None:
    """From here on the kernel ends what asks for more: none of these can be raised again."""
    set_limit(resource.RLIMIT_CORE, 0)
    set_limit(resource.RLIMIT_FSIZE, limits["output_file_bytes"])
    set_limit(resource.RLIMIT_NOFILE, limits["open_files"])
    # At the soft limit SIGXCPU says why; the hard one is for a process that won't listen.
    set_limit(resource.RLIMIT_CPU, limits["cpu_seconds"], grace=1)
    if sys.platform != "darwin":  # macOS refuses to limit it.
        set_limit(resource.RLIMIT_AS, limits["address_space_bytes"])


def set_limit(kind: int, value: int, grace: int = 0) -> None:
    """What the machine allows may be less already; an unprivileged process can't raise that."""
    allowed = resource.getrlimit(kind)[1]
    if allowed != resource.RLIM_INFINITY:
        value = min(value, allowed - grace)
    resource.setrlimit(kind, (value, value + grace))


def keep_answer_channel() -> int:
    """Move standard output away, so that a library that prints can't write into the answer."""
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    return answer_fd


if __name__ == "__main__":
    main()
