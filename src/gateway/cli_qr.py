"""`wagate qr`: a session's QR code in the terminal, from the first code until a phone has it."""

import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import typer

from api.rendering import terminal
from auth.principal import Scope
from gateway.cli_access import own_token
from gateway.cli_client import CallFailed, Client
from gateway.settings import Settings

POLL_SECONDS = 1.0
_ENDED = {"FAILED", "LOGGED_OUT", "CONFLICT"}
# White on black whatever the terminal's theme is: phones do not read inverted codes well.
_WHITE_ON_BLACK, _PLAIN, _CLEAR = "\x1b[38;5;231;48;5;16m", "\x1b[0m", "\x1b[H\x1b[2J"


@dataclass
class QrScreen:
    """Draws codes as they come, each once; on a terminal over the one before."""

    is_terminal: bool
    _shown: str | None = None
    _status: str | None = None

    def show_code(self, qr: dict[str, Any]) -> None:
        """Draw a code that was not drawn yet, and say what to do with it."""
        if qr["code"] == self._shown:
            return
        self._shown = qr["code"]
        drawing = terminal(qr["code"])
        if self.is_terminal:
            self._warn_if_narrow(len(drawing.partition("\n")[0]))
            lines = (f"{_WHITE_ON_BLACK}{line}{_PLAIN}" for line in drawing.splitlines())
            drawing = _CLEAR + "\n".join(lines) + "\n"
        typer.echo(drawing + self._instructions(qr))

    def show_status(self, session: dict[str, Any]) -> None:
        """Say what the session is doing, when that has changed."""
        if session["status"] not in {self._status, "QR_READY"}:
            typer.echo(f"{session['status']}: {session['message']}")
        self._status = session["status"]

    def _instructions(self, qr: dict[str, Any]) -> str:
        steps = "On the phone: WhatsApp > Linked devices > Link a device, then scan this code."
        if code := qr.get("pairingCode"):
            steps += f"\nOr: Link with phone number instead, and enter {code}."
        until = datetime.fromisoformat(qr["expiresAt"]).astimezone().strftime("%H:%M:%S")
        again = f" (attempt {qr['attempt']} of {qr['maxAttempts']})" if qr["attempt"] else ""
        return f"{steps}\nIt is valid until {until}; the next one follows by itself{again}."

    def _warn_if_narrow(self, columns: int) -> None:
        try:
            width = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            return
        if 0 < width < columns:
            typer.echo(f"Widen the terminal to {columns} columns to see the whole code.")
            time.sleep(POLL_SECONDS)


def follow(
    client: Client, ref: str, *, create: bool, activate: bool, timeout_seconds: float
) -> int:
    """Draw a session's codes until it is connected; return the exit code: 0, else 1.

    Raises:
        CallFailed: the server refuses a call, or does not answer.
    """
    if create:
        client.create(ref)
    screen, deadline = QrScreen(sys.stdout.isatty()), time.monotonic() + timeout_seconds
    if activate and client.session(ref)["status"] != "CONNECTED":
        client.activate(ref)
    while time.monotonic() < deadline:
        try:
            outcome = _look(client, ref, screen)
        except CallFailed as error:
            if not error.temporary:
                raise
            outcome = None
        if outcome is not None:
            return outcome
        time.sleep(POLL_SECONDS)
    typer.echo(f"Not connected after {timeout_seconds:g} seconds. Run it again.", err=True)
    return 1


def _look(client: Client, ref: str, screen: QrScreen) -> int | None:
    session = client.session(ref)
    screen.show_status(session)
    if session["status"] == "CONNECTED":
        return 0
    if session["status"] in _ENDED:
        return 1
    if not session["isActive"]:
        typer.echo("The session is not active: add --activate.", err=True)
        return 1
    qr = client.qr(ref)
    if qr is not None:
        screen.show_code(qr)
    return None


def client_for(settings: Settings, ref: str, *, token: str | None, tenant: str) -> Client:
    """Make a client: with the token given or set, else with one made here for this session alone.

    `tenant` is the one of a token that is made here.

    Raises:
        CallFailed: there is no token, and none can be made here.
        DataDirectoryError: the secret can't be read.
    """
    address = settings.server_url
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    if token is not None:
        return Client(address, token)
    own = own_token(
        settings,
        tenant=tenant,
        scopes=[Scope.SESSIONS_READ, Scope.SESSIONS_WRITE],
        sessions=[ref],
        instead="Give a token with --token",
    )
    return Client(address, own, tenant)
