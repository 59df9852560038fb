"""How settings are shown to people: what is secret stays hidden, what is unknown gets a hint."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from urllib.parse import urlsplit

SECRET_FIELDS = frozenset(
    {"jwt_secret", "jwt_public_key", "token", "backend_api_key", "whatsapp_qr_service_key"}
)
"""Never shown. A public key is no secret, but what was pasted in its place may be."""
URL_FIELDS = frozenset(
    {
        "database_url",
        "redis_url",
        "bullmq_redis_url",
        "rabbitmq_url",
        "jwt_jwks_url",
        "url",
        "backend_api_url",
        "whatsapp_qr_service_url",
    }
)

# What Kubernetes sets in each container for a Service named wagate, or wagate-<something>.
_SERVICE_LINK = re.compile(
    r"WAGATE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_LINK_ADDRESSES = ("tcp://", "udp://", "sctp://")


@dataclass(frozen=True)
class Reading:
    """A value that somebody set: under which name, and where."""

    variable: str
    value: str = dataclass_field(repr=False)
    where: str

    def problem(self, field: str, expected: str) -> str:
        """Return the sentence about a value that can't be used."""
        hint = ""
        if self.variable == "WAGATE_PORT" and self.value.startswith(_LINK_ADDRESSES):
            hint = (
                ". Kubernetes sets it so for a Service named wagate: set it yourself, or "
                "enableServiceLinks to false"
            )
        return f"{self.variable} ({self.where}): read {hidden(field, self.value)}, {expected}{hint}"


def hidden(field: str, value: str) -> str:
    """Return a value as a message may show it."""
    if field in SECRET_FIELDS:
        return f"a value of {len(value)} characters (hidden)"
    shown = without_password(value) if field in URL_FIELDS else value
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}…")


def without_password(url: str) -> str:
    """Return a URL with its password, if any, replaced by asterisks; nothing of what is no URL."""
    try:
        parts = urlsplit(url)
        has_password, host = bool(parts.password), parts.hostname
    except ValueError:
        return "***"
    if "@" in url and not (parts.scheme and host):
        return "***"
    # Drivers take passwords from the query too: postgresql://host/db?password=…
    bare = parts._replace(query="***" if parts.query else "")
    if has_password:
        bare = bare._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}")
    return bare.geturl()


def is_service_link(name: str, value: str) -> bool:
    """Tell whether Kubernetes set this variable for a Service, not the operator for us."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and name != "WAGATE_PORT" and value.startswith(_LINK_ADDRESSES)


def unknown_variables(names: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Return a sentence about each name that is no setting, with the nearest one that is.

    `names` are variables of ours, with where each was found.
    """
    return [
        f"{name} ({where}): there is no such setting; {_hint(name.upper(), known)}"
        for name, where in names.items()
        if name.upper() not in known
    ]


def _hint(name: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else "`wagate settings` lists them all"


def missing_prefixes(
    names: Mapping[str, str], prefix: str, known: Collection[str]
) -> tuple[str, ...]:
    """Tell of names in a file that lack only the prefix: another program's, or a slip."""
    return tuple(
        f"{where}: {name} is not read; {prefix}{name} would be."
        for name, where in names.items()
        if prefix + name in known and name not in known
    )
