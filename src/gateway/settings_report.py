"""Every setting in words: for people, for programs, and as the file to start from."""

import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import Settings, variables
from gateway.settings_words import SECRET_FIELDS, URL_FIELDS, without_password

_EXAMPLE_HEAD = """\
# Settings of Wagate: copy this file to .env and change what you need; everything has a default.
# Made by `wagate settings --example`. The environment wins over this file.
"""


@dataclass(frozen=True)
class Setting:
    """One setting as it is shown; `value` and `default` are text, secrets hidden, None: not set."""

    variable: str
    value: str | None
    default: str | None
    origin: str
    meaning: str


def report(settings: Settings) -> list[Setting]:
    """Return every setting with where its value came from."""
    return [
        Setting(
            variable=variables(name)[0],
            value=_shown(name, getattr(settings, name)),
            default=_shown(name, field.default),
            origin=settings.origin(name),
            meaning=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def as_text(settings: Iterable[Setting]) -> str:
    """Return two lines per setting: value with origin, and meaning."""
    return "\n".join(f"{_head(setting)}\n    {setting.meaning}" for setting in settings)


def _head(setting: Setting) -> str:
    value = "(not set)" if setting.value is None else setting.value
    if setting.origin == "default":
        return f"{setting.variable} = {value}  [default]"
    default = "not set" if setting.default is None else setting.default
    return f"{setting.variable} = {value}  [{setting.origin}; default: {default}]"


def as_json(settings: Iterable[Setting]) -> str:
    """Return a list of objects with the fields of `Setting`."""
    rows = [asdict(setting) for setting in settings]
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()


def example() -> str:
    """Return the text of `.env.example`: every setting, commented out, at its default."""
    return _EXAMPLE_HEAD + "".join(
        _example(name, field) for name, field in Settings.model_fields.items()
    )


def _example(name: str, field: FieldInfo) -> str:
    default = _shown(name, field.default)
    meaning = textwrap.fill(
        field.description or "", 98, initial_indent="# ", subsequent_indent="# "
    )
    return f"\n{meaning}\n#{variables(name)[0]}={default or ''}\n"


def _shown(name: str, value: Any) -> str | None:
    if value is None or value in ((), frozenset()):
        return None
    if name in SECRET_FIELDS:
        return "***"
    if name in URL_FIELDS:
        return without_password(
            value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        )
    if isinstance(value, tuple | frozenset):
        return ",".join(sorted(str(item) for item in value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
