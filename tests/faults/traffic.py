"""Messages under way while something breaks, and what must have become of them."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from tests.acceptance.frontend import Frontend
from tests.acceptance.phones import FRIEND, Phone

T = TypeVar("T")
WAIT_SECONDS = 60.0
SENT = {"sent", "delivered", "read", "played"}
ENDED = SENT | {"failed", "expired", "cancelled", "unknown"}


async def eventually(
    look: Callable[[], Awaitable[T]],
    good: Callable[[T], bool],
    what: str,
    *,
    seconds: float = WAIT_SECONDS,
) -> T:
    """Look again and again until what is found is good; return it.

    Raises:
        AssertionError: it never is.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if good(found):
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {found!r}"[:2000])
        await asyncio.sleep(0.1)


async def write_many(phone: Phone, texts: list[str], *, gap_seconds: float = 0.0) -> None:
    """Have the friend write texts, one after the other."""
    for text in texts:
        await phone.is_written_to(text)
        await asyncio.sleep(gap_seconds)


async def send_many(frontend: Frontend, session: str, texts: list[str]) -> dict[str, str]:
    """Send texts by REST, each until it is accepted, under a key of its own.

    Returns their message ids by text.
    """
    return {text: await send_surely(frontend, session, text) for text in texts}


async def send_surely(frontend: Frontend, session: str, text: str) -> str:
    """Send a text as a careful program does: again, under the same key, until it has an answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = await post_text(frontend, session, text, key=text.replace(" ", "-"))
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
        assert time.monotonic() < deadline, f"{text!r} is not accepted"
        await asyncio.sleep(0.2)


async def post_text(
    frontend: Frontend, session: str, text: str, *, key: str | None = None
) -> httpx.Response:
    """Send a text once and return whatever is answered."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"to": FRIEND, "type": "text", "text": text}
    path = f"/whatsapp/{session}/messages"
    return await frontend.http.post(path, json=body, headers=headers)


async def hears_all(frontend: Frontend, session: str, texts: list[str]) -> None:
    """Wait until the session was told of every text; then each came once."""

    async def heard() -> list[str]:
        return told_texts(frontend, session)

    await eventually(heard, lambda found: set(texts) <= set(found), "every message is heard")
    found = told_texts(frontend, session)
    assert sorted(found) == sorted(set(found)), "a message was told twice"


def told_texts(frontend: Frontend, session: str) -> list[str]:
    """Return the texts of incoming messages as they were heard, in order."""
    return [
        event["message"]["message"]
        for event in frontend.events(session, "session:message")
        if event["message"]["direction"] == "in"
    ]


async def ended(frontend: Frontend, session: str, ids: dict[str, str]) -> dict[str, str]:
    """Wait until every sent message has come to an end; return the statuses by text."""

    async def statuses() -> dict[str, str]:
        return {text: await status(frontend, session, id_) for text, id_ in ids.items()}

    return await eventually(
        statuses, lambda found: set(found.values()) <= ENDED, "every message has an end"
    )


async def status(frontend: Frontend, session: str, message: str) -> str:
    """Return a message's status."""
    path = f"/whatsapp/{session}/messages/{message}"
    return str((await frontend.call("GET", path, expect=200))["status"])


async def session_is(
    frontend: Frontend, session: str, wanted: str, *, seconds: float = WAIT_SECONDS
) -> Any:
    """Wait until a session has a status; return the session."""

    async def look() -> Any:
        with contextlib.suppress(httpx.TransportError):
            return await frontend.call("GET", f"/whatsapp/{session}", expect=200)

    return await eventually(
        look,
        lambda found: found is not None and found["status"] == wanted,
        f"{session} is {wanted}",
        seconds=seconds,
    )
