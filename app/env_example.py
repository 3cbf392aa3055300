"""`.env.example`, generated from the settings; a test keeps the committed file equal."""

import textwrap

from app.settings import Settings

_COMPOSE = """\
# ---- docker-compose.yml only ----
# Compose reads this file as well as Darkroom does: DARKROOM_PUBLIC_URL, DARKROOM_PORT (then the port on this
# machine's loopback), DARKROOM_SECRET, DARKROOM_ALLOWED_HOSTS, DARKROOM_CORS_ORIGINS, DARKROOM_GRAPHIQL,
# DARKROOM_MAX_UPLOAD_BYTES, DARKROOM_MULTIPART_BYTES, DARKROOM_QUOTA_BYTES, DARKROOM_MAX_PIXELS,
# DARKROOM_WORKER_SLOTS and DARKROOM_LOG_LEVEL count for both.
# Address, data directory and database are its own. `tools/compose-env` adds the two secrets that it needs.

# The password of its database, created with the volume; letters and digits only, as it stands in an address.
#POSTGRES_PASSWORD=
"""


def render() -> str:
    lines = ["# Every setting, with its default. Copy to .env and change what you need.", ""]
    for name, field in Settings.model_fields.items():
        lines += [f"# {line}" for line in textwrap.wrap(field.description or "", 96)]
        default = "" if field.default in (None, ()) else _text(field.default)
        lines += [f"#DARKROOM_{name.upper()}={default}", ""]
    return "\n".join([*lines, _COMPOSE])


def _text(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    return str(default)
