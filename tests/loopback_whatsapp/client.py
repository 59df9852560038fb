"""The loopback WhatsApp for tests: starts the server as a process of its own, and commands it."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from .views import AccountState, ReceivedMessage

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 5.0
REQUEST_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.05


class LoopbackRefused(AssertionError):
    """The loopback WhatsApp has refused a command; the message says why."""


class LoopbackWhatsApp:
    """A running loopback WhatsApp; phone numbers are digits.

    `environment` is what the gateway's process needs on top of its own environment.
    """

    def __init__(self, http: httpx.AsyncClient, environment: dict[str, str]) -> None:
        self._http = http
        self.environment = environment

    @classmethod
    @asynccontextmanager
    async def start(cls, directory: Path) -> AsyncIterator[Self]:
        """Start a server that keeps its files in a directory, and end it with the block."""
        process = await _spawn(directory)
        try:
            ready = await _ready(process)
            # trust_env: a proxy in the environment of the tests must not get in between.
            async with httpx.AsyncClient(
                base_url=ready["control"], timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False
            ) as http:
                yield cls(http, ready["environment"])
        finally:
            await _stop(process)
            # The copy of the library is 19 MB, and pytest keeps the directories of three runs.
            shutil.rmtree(directory / "trusting_neonize", ignore_errors=True)

    async def open_account(
        self,
        phone: str,
        name: str | None = None,
        *,
        push_name: str | None = None,
        delivery_receipts: bool = True,
    ) -> AccountState:
        """Register a phone number; an unregistered one is "not on WhatsApp" to senders.

        The phone gives `push_name` to its linked devices, now and later; without it they cannot
        show their presence, which the library refuses.
        """
        body = {
            "phone": phone,
            "name": name,
            "push_name": push_name,
            "delivery_receipts": delivery_receipts,
        }
        return AccountState.model_validate(await self._post("/accounts", body))

    async def scan(self, qr: str, phone: str, name: str | None = None) -> int:
        """Scan a QR code with a phone; return the number of the device that is now linked."""
        answer = await self._post("/scan", {"qr": qr, "phone": phone, "name": name})
        return int(answer["device"])

    async def enter_code(self, code: str, phone: str, name: str | None = None) -> int:
        """Type a pairing code into a phone; return the number of the linked device."""
        answer = await self._post("/enter-code", {"code": code, "phone": phone, "name": name})
        return int(answer["device"])

    async def send_text(self, *, sender: str, to: str, text: str, name: str | None = None) -> str:
        """Write from a phone to another account; return the message's id.

        One of the two must have a linked device. A sender that has one gets a copy there.
        """
        body = {"from": sender, "to": to, "text": text, "name": name}
        return str((await self._post("/messages", body))["id"])

    async def send_history(
        self,
        phone: str,
        conversations: list[dict[str, Any]],
        *,
        type: Literal["initial", "recent", "full", "on_demand"] = "initial",
        to: Literal["linked", "new"] = "linked",
    ) -> list[str]:
        """Have a phone hand over its history; return the ids of its messages.

        Conversations are as `commands.OldConversation`: {chat, name, unread, messages: [{text,
        from_me, id, timestamp_seconds}]}. It goes `to` the linked devices at once, or to each
        device that is linked from now on, right after its first login. Beside the history, the
        library then tells a message without text, from the account itself (category "peer").
        """
        body = {"phone": phone, "conversations": conversations, "type": type, "to": to}
        return list((await self._post("/history", body))["ids"])

    async def create_group(self, subject: str, members: list[str]) -> str:
        """Create a group, which its first member owns; return its id."""
        answer = await self._post("/groups", {"subject": subject, "members": members})
        return str(answer["id"])

    async def send_group_text(self, group: str, *, sender: str, text: str) -> str:
        """Write from a phone to a group; return the message's id."""
        answer = await self._post(f"/groups/{group}/messages", {"from": sender, "text": text})
        return str(answer["id"])

    async def send_receipt(
        self,
        ids: list[str],
        *,
        sender: str,
        to: str,
        type: Literal["delivered", "read", "played"] = "read",
    ) -> None:
        """Have a phone (`sender`) say that it has shown messages which `to` has written."""
        await self._post("/receipts", {"from": sender, "to": to, "ids": ids, "type": type})

    async def show_presence(
        self,
        *,
        sender: str,
        to: str,
        state: Literal["available", "unavailable", "composing", "recording", "paused"],
        last_seen_seconds: int | None = None,
    ) -> None:
        """Let the linked devices of `to`, which must be online, see a contact come, go or write."""
        body = {"from": sender, "to": to, "state": state, "last_seen_seconds": last_seen_seconds}
        await self._post("/presence", body)

    async def send_stanza(self, to: str, tag: str, content: Any = None, **attrs: str) -> None:
        """Send any stanza to the linked devices of an account; children are `{"tag": ...}`."""
        stanza = {"tag": tag, "attrs": attrs, "content": content}
        await self._post("/stanzas", {"to": to, "stanza": stanza})

    async def account(self, phone: str) -> AccountState:
        return AccountState.model_validate(await self._get(f"/accounts/{phone}"))

    async def received(self, phone: str) -> list[ReceivedMessage]:
        """All messages that a phone has got, oldest first."""
        return (await self.account(phone)).received

    async def connections(self) -> int:
        """How many connections are open, linked or not."""
        return int((await self._get("/state"))["connections"])

    async def wait_until(
        self, phone: str, condition: Callable[[AccountState], bool], timeout_seconds: float = 10
    ) -> AccountState:
        """Wait for an account to be as it should; AssertionError with its state when it is not."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while not condition(state := await self.account(phone)):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not within {timeout_seconds} s: {state!r}")
            await asyncio.sleep(POLL_SECONDS)
        return state

    async def wait_until_received(
        self, phone: str, text: str, timeout_seconds: float = 10
    ) -> ReceivedMessage:
        """The first message of that text on a phone."""
        state = await self.wait_until(
            phone, lambda account: text in [m.text for m in account.received], timeout_seconds
        )
        return next(message for message in state.received if message.text == text)

    async def wait_until_online(self, phone: str, timeout_seconds: float = 10) -> None:
        """Wait until a linked device of the account is logged in and gets messages."""
        await self.wait_until(phone, _is_online, timeout_seconds)

    async def wait_until_offline(self, phone: str, timeout_seconds: float = 10) -> None:
        """Wait until no linked device of the account is logged in."""
        await self.wait_until(phone, lambda account: not _is_online(account), timeout_seconds)

    async def fault(self, kind: str, **parameters: Any) -> dict[str, Any]:
        """Cause a fault; kinds and parameters are the models of `commands.Fault`."""
        return await self._post("/faults", {"kind": kind, **parameters})

    async def silence(self, seconds: float, phone: str | None = None) -> int:
        """Let nothing through on open connections, as `commands.Silence`; return how many."""
        return int((await self.fault("silence", seconds=seconds, phone=phone))["hit"])

    async def reject_next_message(
        self, error: int = 463, *, phone: str | None = None, count: int = 1
    ) -> None:
        """Answer messages of companions with an error, as `commands.RejectMessages` says."""
        await self.fault("reject_message", error=error, phone=phone, count=count)

    async def drop(self, phone: str | None = None) -> int:
        """Break the connections of an account, or all; return how many."""
        return int((await self.fault("drop", phone=phone))["hit"])

    async def kick(self, phone: str, device: int | None = None) -> None:
        """Remove a linked device from the phone, by default the newest."""
        await self.fault("kick", phone=phone, device=device)

    async def fail_next_login(self, reason: int, *, phone: str | None = None) -> None:
        """Have the next login (of an account) refused with a `<failure reason=...>`."""
        await self.fault("login_failure", reason=reason, phone=phone)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in body.items() if value is not None}
        return _answer(await self._http.post(path, json=given))

    async def _get(self, path: str) -> dict[str, Any]:
        return _answer(await self._http.get(path))


def _answer(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.json()
    if response.is_error:
        raise LoopbackRefused(answer["error"])
    return answer


def _is_online(account: AccountState) -> bool:
    return any(companion.online for companion in account.companions)


async def _spawn(directory: Path) -> Process:
    module = ("-m", "tests.loopback_whatsapp", "--exit-with-parent", "--directory", str(directory))
    return await asyncio.create_subprocess_exec(
        sys.executable, *module, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE
    )


async def _ready(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(START_TIMEOUT_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the loopback WhatsApp has not started; its reason is on stderr")
    ready: dict[str, Any] = json.loads(line)
    return ready


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
