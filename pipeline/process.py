"""Runs one task in a limited child process and believes of its answer only its shape.

The child dies with the *thread* that started it (PR_SET_PDEATHSIG), which is the event loop's: run the loop
in the main thread, or in one that lives as long as its work.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from pipeline.facts import ChildCrashedError, LimitExceededError, PipelineError, TimedOutError
from pipeline.limits import ImageLimits

CHECKOUT = Path(__file__).resolve().parent.parent
CHILD = CHECKOUT / "pipeline" / "child.py"

#: Bytes; an answer has about 1,000.
MAX_ANSWER_BYTES = 64 * 1024
#: Bytes of what the child printed that are kept for the log.
MAX_DIAGNOSTIC_BYTES = 4 * 1024

#: How GLib, libstdc++ and Python say that there was no memory when they end the process.
OUT_OF_MEMORY = re.compile(
    r"failed to allocate|bad_alloc|MemoryError|cannot allocate memory|failed to map segment", re.IGNORECASE
)


async def run_child(
    task: str, source: Path, mime_type: str, job_dir: Path, limits: ImageLimits
) -> dict[str, object]:
    """Do `task` in a process of its own whose working directory is `job_dir`, and give its answer.

    Returns only when the process has ended; when the caller is cancelled its whole process group is killed.
    Raises TimedOutError, LimitExceededError or ChildCrashedError when there is no answer.
    """
    with tempfile.TemporaryFile(dir=job_dir) as answer, tempfile.TemporaryFile(dir=job_dir) as printed:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", str(CHILD), _request(task, source, mime_type, limits)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=answer,
            stderr=printed,
            cwd=job_dir,
            env=_environment(job_dir, limits),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(limits.wall_seconds):
                exit_code = await process.wait()
        except TimeoutError:
            raise TimedOutError(f"The work took longer than {limits.wall_seconds:g} seconds.") from None
        finally:
            await _end(process)
        if exit_code != 0:
            raise _failure(exit_code, _tail(printed, MAX_DIAGNOSTIC_BYTES), limits)
        return _parse(_head(answer, MAX_ANSWER_BYTES + 1))


def _request(task: str, source: Path, mime_type: str, limits: ImageLimits) -> str:
    return json.dumps(
        {
            "task": task,
            "source": str(source.absolute()),
            "mime_type": mime_type,
            "parent_pid": os.getpid(),
            # `-S` spares 4 ms of `site`; the packages are found where this process found them.
            "import_paths": [str(CHECKOUT), *(entry for entry in sys.path if os.path.isabs(entry))],
            "limits": {
                "max_pixels": limits.max_pixels,
                "max_pages": limits.max_pages,
                "cpu_seconds": limits.cpu_seconds,
                "address_space_bytes": limits.address_space_bytes,
                "output_file_bytes": limits.output_file_bytes,
                "open_files": limits.open_files,
            },
        }
    )


def _environment(job_dir: Path, limits: ImageLimits) -> dict[str, str]:
    """All of it: nothing of the service's own environment, where its secrets may stand."""
    return {
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(job_dir.absolute()),
        "VIPS_BLOCK_UNTRUSTED": "1",
        "VIPS_CONCURRENCY": str(limits.threads),
        # Each further arena would map 64 MiB per thread of the limited address space.
        "MALLOC_ARENA_MAX": "2",
    }


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the group unless its leader has ended by itself, and wait: nothing is left, not even a zombie."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _head(file: IO[bytes], limit: int) -> bytes:
    file.seek(0)
    return file.read(limit)


def _tail(file: IO[bytes], limit: int) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
    return file.read(limit)


def _failure(exit_code: int, printed: bytes, limits: ImageLimits) -> PipelineError:
    diagnostics = _printable(printed.decode(errors="backslashreplace")).strip()
    error: PipelineError
    if exit_code == -signal.SIGXCPU:
        error = TimedOutError(f"The work took more than {limits.cpu_seconds} seconds of processor time.")
    elif OUT_OF_MEMORY.search(diagnostics):
        error = out_of_memory(limits)
    else:
        error = ChildCrashedError(f"The working process ended without an answer ({_ending(exit_code)}).")
    if diagnostics:
        error.add_note(f"It printed: {diagnostics}")
    return error


def out_of_memory(limits: ImageLimits) -> LimitExceededError:
    return LimitExceededError(
        f"The work needs more memory than the {limits.address_space_bytes // 1024**2:,} MiB allowed."
    )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _parse(answer: bytes) -> dict[str, object]:
    try:
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
        parsed = json.loads(answer)
        if not isinstance(parsed, dict):
            raise TypeError("no object")
    except (ValueError, TypeError, RecursionError) as error:
        raise ChildCrashedError("The working process gave an answer that makes no sense.") from error
    return parsed
