"""One connection, from its handshake to its end: a device to be linked, or a companion's login."""

import logging
import time
from collections.abc import Callable

from cryptography.exceptions import InvalidTag

from . import outgoing, presence, receipts, requests
from .account import Companion
from .errors import Refused
from .faults import LoginFailure
from .network import Network
from .node import PHONE_SERVER, Attributes, Jid, MalformedStanza, Node
from .pairing import Candidate
from .protobuf import MalformedMessage
from .stream import BRIEF_LINGER_SECONDS, LINGER_SECONDS, Stream, StreamEnded
from .websocket import WebSocket

log = logging.getLogger(__name__)

USERNAME, DEVICE = 1, 18
CREATION_SECONDS = 1_600_000_000
PASSING_REASONS = range(500, 600)
UNKNOWN_DEVICE = LoginFailure(401)


async def serve(network: Network, websocket: WebSocket) -> None:
    """Serve a connection until it ends."""
    stream = Stream(websocket)
    network.streams.add(stream)
    if network.faults.silence_seconds:
        stream.hush(network.faults.silence_seconds)
    try:
        await _converse(network, stream)
    except StreamEnded:
        pass
    except (MalformedStanza, MalformedMessage, InvalidTag, Refused):
        log.exception("a client broke the protocol")
    finally:
        network.streams.discard(stream)
        stream.closed()


async def _converse(network: Network, stream: Stream) -> None:
    payload = await stream.handshake(network.static, network.certificate_chain)
    if USERNAME not in payload:
        failure = network.faults.next_pairing_failure()
        if failure is not None:
            return await _refuse(stream, failure)
        return await _link(network, stream, Candidate(stream, payload))
    account = network.directory.find(Jid(str(payload.integer(USERNAME)), PHONE_SERVER))
    companion = account.companions.get(payload.integer(DEVICE, 0)) if account else None
    if companion is None or companion.noise_key != stream.noise_key:
        return await _refuse(stream, UNKNOWN_DEVICE)
    failure = network.faults.next_login_failure(companion.account.phone)
    if failure is not None:
        return await _refuse(stream, failure)
    return await _attend(network, stream, companion)


async def _link(network: Network, stream: Stream, candidate: Candidate) -> None:
    network.offer_pairing(candidate)
    try:
        async for stanza in stream.stanzas():
            candidate.handle(stanza, network.offer_code)
    finally:
        network.withdraw_pairing(candidate)


async def _refuse(stream: Stream, failure: LoginFailure) -> None:
    attrs: Attributes = {
        "reason": failure.reason,
        "location": "lo",
        "t": int(time.time()),
        "code": failure.code,
        "expire": failure.expire_seconds,
    }
    is_passing = failure.reason in PASSING_REASONS
    linger_seconds = BRIEF_LINGER_SECONDS if is_passing else LINGER_SECONDS
    stream.end(Node("failure", attrs), linger_seconds=linger_seconds)
    async for _ in stream.stanzas():
        pass


async def _attend(network: Network, stream: Stream, companion: Companion) -> None:
    companion.connected(stream)
    attrs: Attributes = {
        "t": int(time.time()),
        "props": 27,
        "lid": companion.address,
        "location": "lo",
        "creation": CREATION_SECONDS,
    }
    stream.send(Node("success", attrs))
    try:
        async for stanza in stream.stanzas():
            _handle(network, companion, stanza)
    finally:
        companion.disconnected(stream)


def _handle(network: Network, companion: Companion, stanza: Node) -> None:
    handler = _HANDLERS.get(stanza.tag)
    if handler is not None:
        handler(network, companion, stanza)


_HANDLERS: dict[str, Callable[[Network, Companion, Node], None]] = {
    "iq": requests.answer,
    "message": outgoing.receive_message,
    "receipt": receipts.receive_receipt,
    "ack": receipts.receive_ack,
    "presence": presence.receive_presence,
    "chatstate": presence.receive_chatstate,
}
