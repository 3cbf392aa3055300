"""The port, and whether public address, host names and origins fit together."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from app.operations.findings import Finding, ok, problem, warning
from app.settings import Settings, is_loopback

ANSWER_SECONDS = 10.0


async def check(settings: Settings) -> list[Finding]:
    return [await asyncio.to_thread(check_port, settings.host, settings.port), *check_addresses(settings)]


def check_port(host: str, port: int) -> Finding:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        socket.create_connection((target, port), timeout=ANSWER_SECONDS).close()
    except OSError:
        return _check_free(host, port)
    return _who_answers(target, host, port)


def _check_free(host: str, port: int) -> Finding:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        advice = "Set DARKROOM_HOST and DARKROOM_PORT to what this machine and this user may use."
        return problem("port", f"Darkroom can't listen on {host}, port {port}: {reason}.", advice)
    return ok("port", f"Port {port} of {host} is free: Darkroom does not run there now.")


def _who_answers(target: str, host: str, port: int) -> Finding:
    try:
        welcome = _get(target, port, "/")[1]
        status, readiness = _get(target, port, "/readyz")
    except (OSError, http.client.HTTPException):
        welcome, status, readiness = b"", 0, b""
    if not welcome.startswith(b"This is Darkroom."):
        advice = "Stop what uses it, or set DARKROOM_PORT to another one."
        return problem("port", f"Port {port} of {host} is used by something else than Darkroom.", advice)
    if status != 200:
        parts = ", ".join(name for name, works in _parsed(readiness).items() if not works)
        sentence = f"Darkroom answers on port {port} of {host}, but is not ready: {parts or status}."
        return problem("port", sentence, "Look at the other lines here, and at its log.")
    return ok("port", f"Darkroom answers on port {port} of {host} and is ready.")


def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(64 * 1024)
    finally:
        connection.close()


def _parsed(document: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(document)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def check_addresses(settings: Settings) -> list[Finding]:
    try:
        settings.refuse_exposure()
    except SystemExit as refusal:
        return [problem("exposure", str(refusal), "`serve` refuses to start like this.")]
    found = [*_public_address(settings), *_hosts(settings), *_origins(settings)]
    return found or [
        ok("addresses", f"Clients reach Darkroom at {settings.origin}; all settings fit to that.")
    ]


def _public_address(settings: Settings) -> Iterator[Finding]:
    public = urlsplit(settings.origin)
    outside = not is_loopback(public.hostname or "")
    if settings.allow_anonymous and (outside or not is_loopback(settings.host)):
        yield warning(
            "exposure",
            f"Whoever reaches {settings.host}:{settings.port} or {settings.origin} is admin "
            "(DARKROOM_ALLOW_ANONYMOUS=1).",
            "Let nobody through but a gateway that asks who it is.",
        )
    if outside and public.scheme == "http":
        sentence = f"{settings.origin} is not encrypted: signed addresses can be read on their way."
        yield warning(
            "addresses", sentence, "Serve it by https through a gateway, and set DARKROOM_PUBLIC_URL."
        )


def _hosts(settings: Settings) -> Iterator[Finding]:
    for host in settings.allowed_hosts:
        if "*" in host:
            sentence = f"DARKROOM_ALLOWED_HOSTS holds {host}, which opens the service to DNS rebinding."
            yield problem("hosts", sentence, "Name the hosts one by one.")
        elif "/" in host or host.count(":") == 1:
            sentence = f"DARKROOM_ALLOWED_HOSTS holds {host}, which is no host name and matches nothing."
            yield problem("hosts", sentence, "Name hosts without scheme and port, as in media.example.com.")


def _origins(settings: Settings) -> Iterator[Finding]:
    for origin in settings.cors_origins:
        parts = urlsplit(origin)
        if origin == "*":
            sentence = "DARKROOM_CORS_ORIGINS lets the pages of every site use the service."
            yield problem("origins", sentence, "Name the origins one by one.")
        elif parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}":
            sentence = f"DARKROOM_CORS_ORIGINS holds {origin}, which no browser ever sends."
            yield problem("origins", sentence, "An origin is scheme, host and port: http://localhost:5173.")
