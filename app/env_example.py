"""`.env.example`, generated from the settings; a test keeps the committed file equal."""

import textwrap

from app.settings import Settings

#: What the compose file decides itself, or has no use for.
_ITS_OWN = frozenset({"host", "data_dir", "database_url", "allow_anonymous", "cdn_private_key_file"})

_COMPOSE = """\
# ---- docker-compose.yml only ----
# Compose reads this file as well as Darkroom does:
{names}
# count for both; DARKROOM_PORT is then the port on this machine's loopback.
# Address, data directory and database are its own. `tools/compose-env` adds the two secrets that it needs.

# The password of its database, created with the volume; letters and digits only, as it stands in an address.
#POSTGRES_PASSWORD=
"""


def render() -> str:
    lines = ["# Every setting, with its default. Copy to .env and change what you need.", ""]
    for name, field in Settings.model_fields.items():
        lines += [f"# {line}" for line in _wrapped(field.description or "")]
        default = "" if field.default in (None, ()) else _text(field.default)
        lines += [f"#{_variable(name)}={default}", ""]
    return "\n".join([*lines, _COMPOSE.format(names=_names_for_both())])


def _wrapped(text: str) -> list[str]:
    """An address stays in one piece, to be copied."""
    return textwrap.wrap(text, 96, break_on_hyphens=False, break_long_words=False)


def _names_for_both() -> str:
    names = [_variable(name) for name in Settings.model_fields if name not in _ITS_OWN]
    return textwrap.fill(", ".join(names), 108, initial_indent="# ", subsequent_indent="# ")


def _variable(name: str) -> str:
    return f"DARKROOM_{name.upper()}"


def _text(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    return str(default)
