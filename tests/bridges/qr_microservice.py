"""A QR microservice as chatbot back ends have it, written from the contract alone (section 7).

It shows codes as pictures, posts what happens to the back end that it was set up with, and knows
that back end by a key. Messages are posted in order until they are taken, events once: whoever
misses one finds out by asking.
"""

import asyncio
import contextlib
import hashlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.rendering import data_url
from tests.api.server import serving

_PAUSE_SECONDS = 0.05
_QR_SECONDS = 60


def lid_of(phone: str) -> str:
    """Return the digits of the LID of a phone number."""
    return str(10**14 + int.from_bytes(hashlib.sha256(phone.encode()).digest()[:5], "big"))


@dataclass
class Phone:
    """An account, as its phone shows it."""

    number: str
    name: str

    @property
    def told(self) -> dict[str, str]:
        """What the service tells of it."""
        return {
            "phoneNumber": f"+{self.number}",
            "jid": f"{self.number}@s.whatsapp.net",
            "lid": f"{lid_of(self.number)}@lid",
            "pushName": self.name,
        }


@dataclass
class Held:
    """A session at the service."""

    id: str
    status: str = "DISCONNECTED"
    code: str | None = None
    phone: Phone | None = None
    sent: list[dict[str, str]] = field(default_factory=list)
    posts: deque[tuple[str, dict[str, Any]]] = field(default_factory=deque)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)


class QrMicroservice:
    """The service; `url` is where it listens, `calls` what it was asked for."""

    def __init__(self, key: str) -> None:
        self.url = ""
        self.back_end_url = ""
        self.calls: list[str] = []
        self.picture: Callable[[str], str] = data_url
        """How a code is shown."""
        self.refused = 0
        """How often a message was posted and not taken."""
        self.refuse_with: int | None = None
        """Answers everything so, as a service in trouble does."""
        self.hang = asyncio.Event()
        """Cleared: sends are carried out, and never answered."""
        self.hang.set()
        self._key = key
        self._sessions: dict[str, Held] = {}
        self._http = httpx.AsyncClient(headers={"X-API-Key": key}, trust_env=False, timeout=20)
        self._posting: dict[str, asyncio.Task[None]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, key: str) -> AsyncIterator["QrMicroservice"]:
        """Serve on a free port until the block is left; post nothing before it is told where."""
        service = cls(key)
        try:
            async with serving(service._application()) as port:
                service.url = f"http://127.0.0.1:{port}"
                yield service
                service.hang.set()
        finally:
            for task in service._posting.values():
                task.cancel()
            await service._http.aclose()

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/init", self._guarded(self._init), methods=["POST"]),
                Route("/qr-code/{id}", self._guarded(self._qr_code)),
                Route("/status/{id}", self._guarded(self._status)),
                Route("/send", self._guarded(self._send), methods=["POST"]),
                Route("/disconnect", self._guarded(self._disconnect), methods=["POST"]),
            ]
        )

    def _guarded(self, answer: Any) -> Any:
        async def guarded(request: Request) -> Response:
            self.calls.append(request.url.path.split("/")[1])
            if request.headers.get("x-api-key") != self._key:
                return JSONResponse({"success": False, "message": "wrong key"}, 401)
            if self.refuse_with is not None:
                return JSONResponse({"success": False, "message": "out of order"}, self.refuse_with)
            response: Response = await answer(request)
            return response

        return guarded

    async def _init(self, request: Request) -> Response:
        id_ = (await request.json())["sessionId"]
        held = self._sessions.get(id_)
        if held is None:
            held = self._sessions[id_] = Held(id_)
            self._posting[id_] = asyncio.create_task(self._post_all(held))
        if held.phone is not None:
            held.status = "CONNECTED"
        elif held.status != "QR_READY":
            self.show_code(id_)
        return self._told(held, message="started")

    async def _qr_code(self, request: Request) -> Response:
        held = self._sessions.get(request.path_params["id"])
        if held is None or held.code is None:
            return JSONResponse({"success": False, "message": "There is no QR code."}, 404)
        return JSONResponse({"success": True, "sessionId": held.id, **self._shown(held)})

    async def _status(self, request: Request) -> Response:
        held = self._sessions.get(request.path_params["id"])
        if held is None:
            return JSONResponse({"success": False, "message": "There is no such session."}, 404)
        return self._told(held)

    async def _send(self, request: Request) -> Response:
        body = await request.json()
        held = self._sessions.get(body["sessionId"])
        if held is None or held.status != "CONNECTED":
            return JSONResponse({"success": False, "message": "Not connected."}, 409)
        if body["to"].startswith("000"):
            refusal = {"success": False, "code": "not_on_whatsapp", "message": "Who is that?"}
            return JSONResponse(refusal, 404)
        sent = {"id": "3EB0" + os.urandom(9).hex().upper(), **body}
        held.sent.append(sent)
        await self.hang.wait()
        told = {"messageId": sent["id"], "phone": body["to"], "lid": f"{lid_of(body['to'])}@lid"}
        return JSONResponse({"success": True, **told})

    async def _disconnect(self, request: Request) -> Response:
        held = self._sessions.get((await request.json())["sessionId"])
        if held is None:
            return JSONResponse({"success": False, "message": "There is no such session."}, 404)
        held.status, held.code, held.phone = "DISCONNECTED", None, None
        return self._told(held)

    def _told(self, held: Held, **more: str) -> Response:
        connected = held.status == "CONNECTED"
        number = held.phone.told["phoneNumber"] if held.phone is not None and connected else None
        body = {"sessionId": held.id, "status": held.status, "connected": connected}
        return JSONResponse({"success": True, **body, "phoneNumber": number, **more})

    def _shown(self, held: Held) -> dict[str, Any]:
        expires_at = int((time.time() + _QR_SECONDS) * 1000)
        return {"qrCode": self.picture(held.code or ""), "expiresAt": expires_at, "attempt": 0}

    def held(self, session: str) -> Held:
        """Return a session as the service holds it."""
        return self._sessions[session]

    def show_code(self, session: str) -> None:
        """Show a new code."""
        held = self.held(session)
        keys = [hashlib.sha256(os.urandom(8)).hexdigest() for _ in range(4)]
        held.code, held.status = "2@" + ",".join(keys), "QR_READY"
        self.post(held, "webhook", event="qr", data=self._shown(held))

    def scan(self, session: str, code: str, phone: Phone, *, silently: bool = False) -> None:
        """Scan a code, which must be the one that is shown."""
        held = self.held(session)
        assert held.code == code, "another code is shown"
        held.code, held.phone, held.status = None, phone, "CONNECTED"
        if not silently:
            self.post(held, "webhook", event="connected", data=phone.told)

    def write(self, session: str, text: str, *, sender: Phone, own: bool = False) -> str:
        """Let somebody write to the session's phone, or with `own` its owner to them."""
        held = self.held(session)
        assert held.phone is not None
        author = held.phone if own else sender
        id_ = "3A" + os.urandom(9).hex().upper()
        self.post(
            held,
            "incoming",
            chatId=f"{sender.number}@s.whatsapp.net",
            lid=f"{lid_of(sender.number)}@lid",
            message=text,
            messageId=id_,
            timestamp=int(time.time() * 1000),
            type="text",
            pushName=author.name,
            fromMe=own,
            **{"from": f"{author.number}@s.whatsapp.net"},
        )
        return id_

    async def lose(self, session: str, *, seconds: float = 0.1, silently: bool = False) -> None:
        """Lose the connection to WhatsApp, and get it back."""
        held = self.held(session)
        assert held.phone is not None
        held.status = "RECONNECTING"
        if not silently:
            loss = {"reason": "stream_lost", "willReconnect": True}
            self.post(held, "webhook", event="disconnected", data=loss)
        await asyncio.sleep(seconds)
        held.status = "CONNECTED"
        if not silently:
            self.post(held, "webhook", event="connected", data=held.phone.told)

    def end(self, session: str, status: str, reason: str, *, silently: bool = False) -> None:
        """End a session for good, as its phone, WhatsApp or time does."""
        held = self.held(session)
        held.status, held.code, held.phone = status, None, None
        if not silently:
            loss = {"reason": reason, "message": "It is over.", "willReconnect": False}
            self.post(held, "webhook", event="disconnected", data=loss)

    def post(self, held: Held, word: str, **body: Any) -> None:
        """Post something behind what has not been taken yet."""
        held.posts.append((word, {"sessionId": held.id, **body}))
        held.waiting.set()

    async def _post_all(self, held: Held) -> None:
        while True:
            if not held.posts:
                held.waiting.clear()
                await held.waiting.wait()
            word, body = held.posts[0]
            if await self._taken(word, body) or word == "webhook":
                held.posts.popleft()
            else:
                self.refused += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _taken(self, word: str, body: dict[str, Any]) -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"{self.back_end_url}/whatsapp-qr/{word}"
            return (await self._http.post(url, json=body)).is_success
        return False
