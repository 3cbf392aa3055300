"""Signing a page of 50 download addresses for S3: ours, and botocore's for the same request."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from unittest.mock import patch

import botocore.session
from botocore.config import Config

from bench.report import Result, ratios, spread
from storage.sigv4 import BucketAddress, Credentials, QuerySigner

PAGE = 50

ENDPOINT, BUCKET, REGION, SECONDS = "https://s3.eu-central-1.amazonaws.com", "media", "eu-central-1", 300
IDENTITY = Credentials(access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    key: str
    disposition: str


Sign = Callable[[Download], str]


def ours() -> Sign:
    signer = QuerySigner(region=REGION, clock=lambda: datetime.now(UTC))
    address = BucketAddress.virtual_host(ENDPOINT, BUCKET)

    def sign(download: Download) -> str:
        query = {
            "response-content-disposition": download.disposition,
            "response-content-type": "image/webp",
        }
        return signer.presign(
            "GET", address, download.key, credentials=IDENTITY, expires_in=SECONDS, query=query
        )

    return sign


def botocores() -> Sign:
    client = botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=ENDPOINT,
        aws_access_key_id=IDENTITY.access_key,
        aws_secret_access_key=IDENTITY.secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )

    def sign(download: Download) -> str:
        params = {
            "Bucket": BUCKET,
            "Key": download.key,
            "ResponseContentDisposition": download.disposition,
            "ResponseContentType": "image/webp",
        }
        url: str = client.generate_presigned_url("get_object", Params=params, ExpiresIn=SECONDS)
        return url

    return sign


def renditions() -> list[Download]:
    """One of each of 50 media: their names are all alike."""
    return [
        Download(key=f"{_directory()}/image-1/webp-640.webp", disposition=_disposition("webp-640.webp"))
        for _ in range(PAGE)
    ]


def originals() -> list[Download]:
    """50 media's, each with the filename that it came with."""
    return [
        Download(key=f"{_directory()}.webp", disposition=_disposition(f"IMG_{secrets.token_hex(4)}.webp"))
        for _ in range(PAGE)
    ]


PAGES: dict[str, Callable[[], list[Download]]] = {"renditions": renditions, "originals": originals}


def _directory() -> str:
    return f"{secrets.token_hex(16)}/2026/11/20/{secrets.token_hex(16)}"


def _disposition(filename: str) -> str:
    return f"inline; filename*=UTF-8''{filename}"


def measure(*, rounds: int) -> Result:
    """CPU and wall µs for each address of a page; both signers in turn on each page, which is new to them."""
    signers = {"Darkroom": ours(), "botocore": botocores()}
    samples: dict[str, list[float]] = {}
    for kind, page in PAGES.items():
        _refuse_unequal(signers, page())
        for _ in range(rounds):
            downloads = page()
            for name, sign in signers.items():
                wall, cpu = _microseconds(sign, downloads)
                samples.setdefault(f"{kind}.{name}.wall", []).append(wall)
                samples.setdefault(f"{kind}.{name}.cpu", []).append(cpu)
    return _result(samples, rounds)


def _refuse_unequal(signers: dict[str, Sign], downloads: Sequence[Download]) -> None:
    """Raises RuntimeError unless all sign alike at one moment."""
    now = datetime.now(UTC).replace(microsecond=0)
    with patch("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None)):
        theirs = [signers["botocore"](download) for download in downloads]
    with patch(f"{__name__}.datetime") as clock:
        clock.now.return_value = now
        if [signers["Darkroom"](download) for download in downloads] != theirs:
            raise RuntimeError("The two signers differ: there is nothing to compare.")


def _microseconds(sign: Sign, downloads: Sequence[Download]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for download in downloads:
        sign(download)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / PAGE * 1e6, cpu / PAGE * 1e6


def _result(samples: dict[str, list[float]], rounds: int) -> Result:
    rows = []
    for kind in PAGES:
        for name in ("Darkroom", "botocore"):
            figures = [spread(samples[f"{kind}.{name}.{figure}"], 1) for figure in ("cpu", "wall")]
            rows.append([f"{kind}, {name}", *figures])
        for figure in ("cpu", "wall"):
            samples[f"{kind}.ratio.{figure}"] = ratios(
                samples[f"{kind}.Darkroom.{figure}"], samples[f"{kind}.botocore.{figure}"]
            )
        figures = [spread(samples[f"{kind}.ratio.{figure}"], 3) for figure in ("cpu", "wall")]
        rows.append([f"{kind}, Darkroom / botocore", *figures])
    return Result(
        title="signing: a page of download addresses for S3",
        method=f"{PAGE} addresses with a type and a filename, {rounds} rounds, in turn, each with a page "
        "of its own; equal byte for byte.",
        columns=("page, signer", "CPU, µs/address", "wall, µs/address"),
        rows=rows,
        samples=samples,
    )
