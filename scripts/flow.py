"""Walk through the whole job with a running gateway: link a phone, receive a message, answer it.

Exit codes: 0 all done, 1 something failed, 2 usage, 3 refused, 4 nobody scanned or wrote in time.
"""

import argparse
from typing import Any

import httpx
from rich.console import Console

from scripts.event_display import EventDisplay
from scripts.followed_session import (
    Ended,
    Event,
    Exit,
    FollowedSession,
    arguments,
    parsed,
    rest,
    run,
)

WAIT_SECONDS = 300.0
_DELIVERED = frozenset({"delivered", "read", "played"})


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = arguments("Link a phone, wait for a message, answer it, and show the receipt.")
    parser.add_argument("--to", metavar="NUMBER", help="write to this number, wait for nobody")
    parser.add_argument("--text", default="Hello from Wagate", help="what to send")
    return parsed(parser)


class Flow:
    """The steps, each with its progress on the terminal."""

    def __init__(self, chosen: argparse.Namespace, http: httpx.AsyncClient) -> None:
        self._chosen = chosen
        self._http = http
        self._console = Console()
        self._display = EventDisplay(self._console)
        self._wait_seconds = chosen.timeout or WAIT_SECONDS

    async def run(self) -> None:
        """Take all steps."""
        name = self._chosen.session
        self._step(f"Creating the session {name}")
        await self._call("POST", "/whatsapp", allow=(201, 409), sessionId=name)
        async with FollowedSession.open(self._chosen.url, self._chosen.token, name) as session:
            await self._connect(session)
            to = self._chosen.to or await self._someone(session)
            await self._send(session, to)
        self._step("Done", style="bold green")

    async def _connect(self, session: FollowedSession) -> None:
        if session.answer["status"] == "CONNECTED":
            self._step("The phone is linked already")
            return
        self._step("Activating; scan the code that appears")
        await self._call("POST", f"/whatsapp/{self._chosen.session}/activate", allow=(200, 202))
        event = await session.wait_for(
            "session:connected", self._display.show, seconds=self._wait_seconds
        )
        self._step(f"Linked to {event['phoneNumber']}", style="bold green")

    async def _someone(self, session: FollowedSession) -> str:
        self._step("Write something to this number from another phone")
        while True:
            event = await session.wait_for(
                "session:message", self._display.show, seconds=self._wait_seconds
            )
            message = event["message"]
            if not message["fromMe"]:
                return str(message["chatId"])

    async def _send(self, session: FollowedSession, to: str) -> None:
        self._step(f"Sending “{self._chosen.text}”")
        body = {"to": to, "type": "text", "text": self._chosen.text}
        path = f"/whatsapp/{self._chosen.session}/messages"
        message = await self._call("POST", path, allow=(202,), **body)
        while True:
            event = await session.wait_for(
                "message:status", self._display.show, seconds=self._wait_seconds
            )
            if event["messageId"] == message["id"] and self._is_settled(event):
                return

    def _is_settled(self, event: Event) -> bool:
        if event["status"] in {"failed", "expired", "unknown"}:
            reason = (event.get("error") or {}).get("message", event["status"])
            raise Ended(Exit.FAILED, f"the message was not delivered: {reason}")
        return event["status"] in _DELIVERED

    async def _call(self, method: str, path: str, *, allow: tuple[int, ...], **body: Any) -> Any:
        try:
            response = await self._http.request(method, path, json=body or None)
        except httpx.TransportError as error:
            message = f"{self._chosen.url} can't be reached: {error}. Is the gateway running?"
            raise Ended(Exit.FAILED, message) from None
        if response.status_code in allow:
            return response.json()
        code = Exit.REFUSED if response.status_code in {401, 403} else Exit.FAILED
        raise Ended(code, f"{method} {path}: {response.status_code} {response.text[:300]}")

    def _step(self, text: str, *, style: str = "bold") -> None:
        self._console.rule(f"[{style}]{text}[/]", align="left")


async def main() -> None:
    """Walk through the flow."""
    chosen = options()
    async with rest(chosen.url, chosen.token) as http:
        await Flow(chosen, http).run()


if __name__ == "__main__":
    run(main)
