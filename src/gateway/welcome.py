"""What a user reads when the server is ready: where it is, and the exact next commands."""

import contextlib
import os
import shlex
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from auth.jwks import is_loopback
from auth.principal import Scope
from auth.tokens import TokenIssuer
from gateway.settings import Settings, journal_stream, variables

LOCAL_SUBJECT = "admin"
"""Subject, and so tenant, of the tokens that this machine's own commands use."""
TOKEN_LIFETIME = timedelta(hours=24)


def welcome(settings: Settings, issuer: TokenIssuer | None, address: str) -> str:
    """Return plain text: URLs, a token when only this machine's user reads it, the next commands.

    `address` is the URL that the server listens on, with the real port.
    """
    url = _reachable(address)
    title = f"Wagate is ready at {address}"
    docs = f"Documentation of the API: {url}/docs" if settings.docs_enabled else ""
    parts = [title, docs, _token(settings, issuer, address), _next_steps(settings, issuer, url)]
    return "\n" + "\n\n".join(part for part in parts if part) + "\n"


def _reachable(address: str) -> str:
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _token(settings: Settings, issuer: TokenIssuer | None, address: str) -> str:
    if issuer is None:
        return (
            f"Tokens are signed elsewhere ({settings.jwt_algorithm}): "
            "TOKEN below is one from your identity provider."
        )
    if reason := _why_others_could_read(settings, address):
        return f"No token is printed, because {reason}. Make one:\n  {_token_command(settings)}"
    token = issuer.issue(subject=LOCAL_SUBJECT, scopes=[Scope.ADMIN], lifetime=TOKEN_LIFETIME)
    hours = TOKEN_LIFETIME.total_seconds() / 3600
    return (
        f"Token of the tenant {LOCAL_SUBJECT}, valid for {hours:.0f} hours "
        f"(shown because only this machine can connect):\n  {token}"
    )


def _why_others_could_read(settings: Settings, address: str) -> str | None:
    """Return why what is printed may be read by others than who may use it; None: it is not."""
    if not is_loopback(urlsplit(address).hostname or ""):
        return "other machines can reach this server and logs are read by many"
    origins = [origin for origin in settings.allowed_origins if not _is_of_this_machine(origin)]
    if origins or settings.origin("forwarded_allow_ips") != "default":
        name = "allowed_origins" if origins else "forwarded_allow_ips"
        return f"{variables(name)[0]} lets others in and logs are read by many"
    if journal_stream() in _streams():
        return "the journal keeps what is printed"
    return None


def _is_of_this_machine(origin: str) -> bool:
    return is_loopback(urlsplit(origin).hostname or "")


def _streams() -> set[str]:
    """Return what is written to, in the way in which systemd names the journal's end."""
    ends = set()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            ends.add(f"{status.st_dev}:{status.st_ino}")
    return ends


def _next_steps(settings: Settings, issuer: TokenIssuer | None, url: str) -> str:
    token = f"$({_token_command(settings)})" if issuer else "…"
    header = '-H "Authorization: Bearer $TOKEN"'
    body = "-H 'Content-Type: application/json' -d '{\"sessionId\": \"demo\"}'"
    by_hand = (
        f"Or by HTTP:\n"
        f"  TOKEN={token}\n"
        f"  curl -X POST {header} {body} {url}/whatsapp\n"
        f"  curl -X POST {header} {url}/whatsapp/demo/activate\n"
        f"  curl {header} '{url}/whatsapp/demo/qr?format=terminal'"
    )
    if issuer is None:
        return by_hand.replace("Or by HTTP", "Link a phone")
    qr = f"{command()} qr demo --create --activate{_options(settings)}"
    if _set_for_this_start(settings, "port", "host", "url") or url != settings.server_url:
        qr += f" --url {url}"
    return f"Link a phone, in another terminal:\n  {qr}\n\n{by_hand}"


def _token_command(settings: Settings) -> str:
    return f"{command()} token --sub {LOCAL_SUBJECT} --scope admin{_options(settings)}"


def _options(settings: Settings) -> str:
    if not _set_for_this_start(settings, "data_directory"):
        return ""
    return f" --data-directory {shlex.quote(str(settings.data_directory))}"


def _set_for_this_start(settings: Settings, *names: str) -> bool:
    """Tell whether a command in another terminal would not find the same value by itself."""
    return any(settings.origin(name) in {"command line", "environment"} for name in names)


def command() -> str:
    """Return how this program is called from here: by name if it is on the PATH, else by path."""
    if shutil.which("wagate"):
        return "wagate"
    script = Path(sys.executable).with_name("wagate")
    if script.exists():
        return shlex.quote(os.path.relpath(script))
    return f"{shlex.quote(sys.executable)} -m gateway"
