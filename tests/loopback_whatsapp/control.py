"""The control API: what tests and developers tell the phones and the server to do, as JSON."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import phone, presence
from .account import Account, Companion
from .commands import (
    CreateGroup,
    EnterCode,
    Fault,
    OpenAccount,
    Scan,
    SendHistory,
    SendReceipts,
    SendStanza,
    ShowPresence,
    Stanza,
    WriteText,
    WriteToGroup,
)
from .errors import Conflict, NotFound, Refused
from .history import HistoryKind, history_sync, remember
from .media import media_routes
from .mischief import cause
from .network import Network
from .node import Attributes, Jid, Node

Body = TypeVar("Body", bound=BaseModel)
Json = dict[str, Any]
FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)


class Control:
    """The API's operations on a network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def application(self, lifespan: Any = None) -> Starlette:
        """The ASGI application: the control API and the media server."""
        routes = [
            Route("/accounts", _post(OpenAccount, self.open_account), methods=["POST"]),
            Route("/accounts/{phone}", self.show_account),
            Route("/scan", _post(Scan, self.scan), methods=["POST"]),
            Route("/enter-code", _post(EnterCode, self.enter_code), methods=["POST"]),
            Route("/messages", _post(WriteText, self.write_text), methods=["POST"]),
            Route("/history", _post(SendHistory, self.send_history), methods=["POST"]),
            Route("/groups", _post(CreateGroup, self.create_group), methods=["POST"]),
            Route("/groups/{group}/messages", self.write_to_group, methods=["POST"]),
            Route("/receipts", _post(SendReceipts, self.send_receipts), methods=["POST"]),
            Route("/presence", _post(ShowPresence, self.show_presence), methods=["POST"]),
            Route("/stanzas", _post(SendStanza, self.send_stanza), methods=["POST"]),
            Route("/faults", self.cause_fault, methods=["POST"]),
            Route("/state", self.show_state),
            *media_routes(self._network),
        ]
        handlers: Any = {Refused: _refused, ValidationError: _invalid}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)

    async def open_account(self, command: OpenAccount) -> Json:
        account = self._network.directory.open(command.phone, command.name)
        if command.delivery_receipts is not None:
            account.sends_delivery_receipts = command.delivery_receipts
        if command.push_name is not None:
            phone.set_push_name(account, command.push_name)
        return describe(account)

    async def show_account(self, request: Request) -> Response:
        account = self._network.directory.get(request.path_params["phone"])
        return JSONResponse(describe(account))

    async def scan(self, command: Scan) -> Json:
        account = self._network.directory.open(command.phone, command.name)
        companion = await self._network.scan(command.qr, account)
        return {"device": companion.device}

    async def enter_code(self, command: EnterCode) -> Json:
        account = self._network.directory.open(command.phone, command.name)
        companion = await self._network.enter_code(command.code, account)
        return {"device": companion.device}

    async def write_text(self, command: WriteText) -> Json:
        sender = self._network.directory.open(command.sender, command.name)
        recipient = self._network.directory.get(command.to)
        if not sender.companions:
            recipient.linked()
        return {"id": phone.write_text(sender, recipient, command.text)}

    async def send_history(self, command: SendHistory) -> Json:
        account = self._network.directory.open(command.phone)
        conversations = [remember(old, self._network.directory) for old in command.conversations]
        history = history_sync(HistoryKind[command.type.upper()], conversations)
        if command.to == "new":
            account.welcome.append(history)
        else:
            for companion in account.linked():
                phone.write_to_own(companion, history)
        return {"ids": [message.id for c in conversations for message in c.messages]}

    async def create_group(self, command: CreateGroup) -> Json:
        members = [self._network.directory.open(member) for member in command.members]
        group = self._network.groups.create(command.subject, members)
        return {"id": group.jid.user}

    async def write_to_group(self, request: Request) -> Response:
        command = WriteToGroup.model_validate_json(await request.body())
        group = self._network.groups.get(request.path_params["group"])
        sender = self._network.directory.get(command.sender)
        return JSONResponse({"id": phone.write_to_group(sender, group, command.text)})

    async def send_receipts(self, command: SendReceipts) -> Json:
        reader = self._network.directory.get(command.sender)
        sender = self._network.directory.get(command.to)
        sender.linked()
        phone.send_receipts(reader, sender, command.ids, command.type)
        return {}

    async def send_stanza(self, command: SendStanza) -> Json:
        stanza, streams = _node(command.stanza), self._watching(command.to).online_streams()
        for stream in streams:
            stream.send(stanza)
        return {}

    async def show_presence(self, command: ShowPresence) -> Json:
        contact = self._network.directory.open(command.sender)
        watcher = self._watching(command.to)
        presence.show(contact, watcher, command.state, command.last_seen_seconds)
        return {}

    async def cause_fault(self, request: Request) -> Response:
        fault = FAULT.validate_json(await request.body())
        return JSONResponse(cause(fault, self._network))

    def _watching(self, number: str) -> Account:
        """An account that sees what is sent to it now."""
        account = self._network.directory.get(number)
        account.linked()
        if not account.online_streams():
            raise Conflict(f"No linked device of {number} is online.")
        return account

    async def show_state(self, _: Request) -> Response:
        accounts = [describe(account) for account in self._network.directory.all()]
        return JSONResponse({"connections": self._network.connections, "accounts": accounts})


def describe(account: Account) -> Json:
    """An account as the API shows it."""
    return {
        "phone": account.phone,
        "name": account.name,
        "lid": account.lid.user,
        "companions": [_describe_companion(c) for c in account.companions.values()],
        "received": [asdict(message) for message in account.received],
        "acknowledged": [asdict(receipt) for receipt in account.acknowledged],
        "read_marks": [asdict(mark) for mark in account.read_marks],
        "shown": account.shown,
        "undecryptable": account.undecryptable,
    }


def _describe_companion(companion: Companion) -> Json:
    return {
        "device": companion.device,
        "online": companion.online,
        "queued": len(companion.queue),
        "logins": companion.logins,
        "prekeys": len(companion.prekeys),
        "push_name": companion.push_name,
    }


def _node(stanza: Stanza) -> Node:
    attrs: Attributes = {
        name: Jid.parse(value) if "@" in value else value for name, value in stanza.attrs.items()
    }
    if isinstance(stanza.content, list):
        return Node(stanza.tag, attrs, [_node(child) for child in stanza.content])
    return Node(stanza.tag, attrs, stanza.content.encode() if stanza.content else None)


def _post(
    model: type[Body], operation: Callable[[Body], Awaitable[Json]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(await operation(model.model_validate_json(await request.body())))

    return endpoint


async def _refused(_: Request, error: Refused) -> Response:
    status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Conflict) else 422
    return JSONResponse({"error": str(error)}, status_code=status)


async def _invalid(_: Request, error: ValidationError) -> Response:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    return JSONResponse({"error": f"{where}: {first['msg']}."}, status_code=422)
