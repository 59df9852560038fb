"""What a setting's value must be, beyond its type. Each check says what was expected."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from auth.errors import UnusableKey
from auth.jwks import check_jwks_url
from auth.keys import Algorithm, check_secret, public_key

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def comma_separated(value: object) -> object:
    """Return a text's parts between commas, without blanks around them and empty ones."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def database_address(value: object) -> object:
    """Return a database URL with the driver that this server uses."""
    if not isinstance(value, str):
        return value
    scheme, sign, rest = value.partition("://")
    if not sign or scheme not in _DRIVERS or not rest.strip("/"):
        message = "expected postgresql://user:password@host/database or sqlite:///path"
        raise ValueError(message)
    return f"{_DRIVERS[scheme]}://{rest}"


def redis_address(value: object) -> object:
    """Let a URL of Redis pass."""
    if isinstance(value, str) and not value.startswith(("redis://", "rediss://", "unix://")):
        message = "expected redis://host:6379/0, or rediss:// for TLS"
        raise ValueError(message)
    return value


def rabbitmq_address(value: object) -> object:
    """Let a URL of RabbitMQ pass."""
    if isinstance(value, str) and not (
        value.startswith(("amqp://", "amqps://")) and urlsplit(value).hostname
    ):
        message = "expected amqp://user:password@host:5672/vhost, or amqps:// for TLS"
        raise ValueError(message)
    return value


def log_level(value: object) -> object:
    """Return a log level in the words of this server; other systems' are understood."""
    others = {"trace": "debug", "verbose": "debug", "warn": "warning", "fatal": "error"}
    return others.get(value.lower(), value.lower()) if isinstance(value, str) else value


def log_format(value: object) -> object:
    """Return a log format; `true` and `false` say whether logs are for people."""
    pretty = {"true": "text", "1": "text", "false": "json", "0": "json"}
    return pretty.get(value.lower(), value) if isinstance(value, str) else value


def web_address(value: object) -> object:
    """Return an http(s) URL without the slash at its end."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        message = "expected a URL such as http://127.0.0.1:3000"
        raise ValueError(message)
    return value.rstrip("/")


def back_end_address(value: object) -> object:
    """Return an http(s) URL as `web_address` does, without a password: logs and reports show it."""
    if isinstance(value, str) and "@" in urlsplit(value).netloc:
        message = "expected a URL without user and password; a key goes into WAGATE_BACKEND_API_KEY"
        raise ValueError(message)
    return web_address(value)


def api_key(value: object) -> object:
    """Let a key pass that a header can carry and nobody guesses."""
    if isinstance(value, str) and not re.fullmatch(r"[!-~]{16,256}", value):
        message = "expected 16 to 256 visible ASCII characters; `openssl rand -hex 24` makes some"
        raise ValueError(message)
    return value


def origin_address(value: object) -> object:
    """Return an origin as browsers send it: no path, no slash at the end; or `*`."""
    if value == "*" or not isinstance(value, str):
        return value
    parts = urlsplit(value)
    bare = parts._replace(path="").geturl()
    if parts.scheme not in {"http", "https"} or not parts.hostname or value.rstrip("/") != bare:
        message = "expected origins such as https://app.example, comma separated, or *"
        raise ValueError(message)
    return bare.lower()


def readable_key(value: object) -> object:
    """Return the PEM text itself, or that of the file it names; `\\n` may stand for line breaks."""
    if not isinstance(value, str) or "-----BEGIN" in value:
        return value.replace("\\n", "\n") if isinstance(value, str) else value
    try:
        return Path(value).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        message = f"expected PEM text, or the path of a PEM file that can be read ({reason})"
        raise ValueError(message) from None


def without_admin(value: object) -> object:
    """Let scopes pass that every token may have which names none."""
    if isinstance(value, list) and "admin" in value:
        message = "expected scopes without admin: only a token that names it may have it"
        raise ValueError(message)
    return value


def jwt_problems(
    algorithm: Algorithm, *, secret: str | None, public_pem: str | None, jwks_url: str | None
) -> Iterator[tuple[str, str]]:
    """Yield each field that does not fit the algorithm, or is too weak for it, and why."""
    if algorithm == "HS256":
        for name, value in (("jwt_public_key", public_pem), ("jwt_jwks_url", jwks_url)):
            if value:
                yield name, "expected none with HS256; set WAGATE_JWT_ALGORITHM to RS256, ES256 …"
        if secret:
            yield from _unusable("jwt_secret", lambda: check_secret(secret))
        return
    if secret:
        yield "jwt_secret", f"expected none with {algorithm}: one kind of key verifies all tokens"
    yield from _public_key_problems(algorithm, public_pem, jwks_url)


def _public_key_problems(
    algorithm: Algorithm, public_pem: str | None, jwks_url: str | None
) -> Iterator[tuple[str, str]]:
    if (public_pem is None) == (jwks_url is None):
        names = "WAGATE_JWT_PUBLIC_KEY or WAGATE_JWT_JWKS_URL"
        yield "jwt_algorithm", f"expected one of {names} with it"
    if public_pem:
        yield from _unusable("jwt_public_key", lambda: public_key(public_pem, algorithm))
    if jwks_url:
        yield from _unusable("jwt_jwks_url", lambda: check_jwks_url(jwks_url))


def _unusable(name: str, check: Callable[[], object]) -> Iterator[tuple[str, str]]:
    try:
        check()
    except UnusableKey as error:
        yield name, str(error)
