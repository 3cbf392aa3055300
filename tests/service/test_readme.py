"""The README's own lines, as a stranger pastes them."""

import asyncio
import re
from pathlib import Path

from tests import pictures
from tests.corpus import CHECKOUT
from tests.service.service import Service

BLOCK = re.compile(r"<!-- tests/service/test_readme\.py runs this block -->\n```sh\n(.*?)```", re.DOTALL)


async def test_the_lines_for_curl_bring_a_picture_to_ready(service: Service, tmp_path: Path) -> None:
    (tmp_path / "PHOTO.jpg").write_bytes(pictures.jpeg(640, 480))
    [block] = BLOCK.findall((CHECKOUT / "README.md").read_text())
    lines = block.replace("http://127.0.0.1:8000", service.origin)
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-eu",
        "-c",
        lines,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await shell.communicate()
    assert shell.returncode == 0, complaints.decode()
    *_, last = output.decode().splitlines()
    assert '"status":"PROCESSING"' in last
    assert '"status":"READY"' in last
    assert '"name":"webp-320"' in last
