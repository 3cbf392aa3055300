"""An upload does not end because nobody reads what is said of it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import pictures
from tests.client.service import CHECKOUT, Service, client_environment, upload, upload_command

DEVICE = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not DEVICE.exists(), reason="NOT TESTED: there is no /dev/full")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"photo-{number}.jpg" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(pictures.jpeg(400 + number, 300))
    return paths


def through_shell(service: Service, photos: list[Path], redirection: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *upload_command(*photos, "--json")],
        cwd=CHECKOUT,
        env=client_environment(service.origin),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_full_device
def test_a_stderr_that_is_full_costs_nothing(service: Service, photos: list[Path]) -> None:
    said = through_shell(service, photos, "2>/dev/full")
    assert said.returncode == 0
    assert [json.loads(line)["status"] for line in said.stdout.splitlines()] == ["READY"] * 3


@needs_full_device
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"], ids=["full", "closed"])
def test_a_stdout_that_takes_nothing_does_not_end_the_uploads(
    service: Service, photos: list[Path], redirection: str
) -> None:
    said = through_shell(service, photos, redirection)
    assert said.returncode == (1 if "full" in redirection else 0)
    assert "Traceback" not in said.stderr
    assert sum(line.endswith(": READY") for line in said.stderr.splitlines()) == 3


def test_a_scheme_in_capitals_is_a_scheme(service: Service, photos: list[Path]) -> None:
    said = upload(service.origin.replace("http", "HTTP"), photos[0], "--json")
    assert (said.code, json.loads(said.stdout)["status"]) == (0, "READY")


@pytest.mark.parametrize("url", ["http://name:password@127.0.0.1", "http://a b"])
def test_an_address_with_a_password_or_a_space_is_wrong_usage(photos: list[Path], url: str) -> None:
    said = upload(url, photos[0])
    assert (said.code, said.stderr) == (2, "--url must look like http://127.0.0.1:8000.\n")
