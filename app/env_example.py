"""`.env.example`, generated from the settings; a test keeps the committed file equal."""

import textwrap

from app.settings import Settings


def render() -> str:
    lines = ["# Every setting, with its default. Copy to .env and change what you need.", ""]
    for name, field in Settings.model_fields.items():
        lines += [f"# {line}" for line in textwrap.wrap(field.description or "", 96)]
        default = "" if field.default in (None, ()) else _text(field.default)
        lines += [f"#DARKROOM_{name.upper()}={default}", ""]
    return "\n".join(lines)


def _text(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    return str(default)
