"""One companion's stream of stanzas: WebSocket, frames, Noise and binary XML.

Sending is synchronous: a stanza is encrypted and handed to the transport at once, so that the
order of the calls is the order on the wire and no lock is needed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import count

from . import binary_xml
from .node import SERVER, MalformedStanza, Node
from .noise import PROLOGUE, Cipher, Responder
from .protobuf import Fields
from .websocket import WebSocket
from .xeddsa import KeyPair

log = logging.getLogger(__name__)

LENGTH_BYTES = 3
# Longer than a busy machine needs: whatsmeow writes its new keys before it looks at a 515.
LINGER_SECONDS = 20.0
# For last words after which the client waits for the end, and does the same if it misses them.
BRIEF_LINGER_SECONDS = 0.5


class StreamEnded(ConnectionError):
    """The companion has closed its connection."""


class Stream:
    """Begin with `handshake`; then iterate over `stanzas` and `send`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._buffer = bytearray()
        self._receiving: Cipher | None = None
        self._sending: Cipher | None = None
        self._ids = count(1)
        self._closing: asyncio.TimerHandle | None = None
        self._held: list[bytes] = []
        self._silence: asyncio.TimerHandle | None = None
        self._audible = asyncio.Event()
        self._audible.set()
        self.noise_key = b""

    @property
    def ending(self) -> bool:
        """Whether the server has said its last word on this stream."""
        return self._closing is not None

    async def handshake(self, static: KeyPair, certificate_chain: bytes) -> Fields:
        """Do the Noise handshake; return the ClientPayload."""
        responder = Responder(static, certificate_chain)
        if await self._read(len(PROLOGUE)) != PROLOGUE:
            raise MalformedStanza("the connection does not start with the protocol's header")
        self._write_frame(responder.server_hello(await self._read_frame()))
        payload = responder.client_finish(await self._read_frame())
        self._receiving, self._sending = responder.ciphers()
        self.noise_key = responder.client_static
        return payload

    async def stanzas(self) -> AsyncIterator[Node]:
        """Stanzas of the companion until it goes or the server ends the stream."""
        assert self._receiving is not None
        try:
            while True:
                stanza = binary_xml.decode(self._receiving.decrypt(await self._read_frame()))
                log.debug("< %s", stanza)
                if not self.ending:
                    yield stanza
        except (StreamEnded, ConnectionError):
            return

    def send(self, stanza: Node) -> None:
        """Send a stanza, unless the stream is ending."""
        if self._sending is not None and not self.ending:
            log.debug("> %s", stanza)
            self._write_frame(self._sending.encrypt(binary_xml.encode(stanza)))

    def request(self, xmlns: str, *content: Node, **attrs: str | int) -> str:
        """Send an iq of the server; return its id."""
        stanza_id = f"srv-{next(self._ids)}"
        head = {"from": SERVER, "type": "set", "id": stanza_id, "xmlns": xmlns, **attrs}
        self.send(Node("iq", head, list(content)))
        return stanza_id

    def end(self, last: Node, *, linger_seconds: float = LINGER_SECONDS) -> None:
        """Send the last stanza and let the companion close.

        A close right behind a stream error races the handler queue of whatsmeow, which then
        misses the error; so we only close when the companion has not done it in time.
        """
        if self.ending:
            return
        self.send(last)
        loop = asyncio.get_running_loop()
        self._closing = loop.call_later(linger_seconds, self._websocket.close)

    def hush(self, seconds: float) -> None:
        """Neither hear nor say anything for a while; both is made up for when it is over."""
        if self._silence is not None:
            self._silence.cancel()
        self._audible.clear()
        self._silence = asyncio.get_running_loop().call_later(seconds, self.speak)

    def speak(self) -> None:
        """End a silence."""
        if self._silence is not None:
            self._silence.cancel()
        self._audible.set()
        held, self._held = self._held, []
        for frame in held:
            self._websocket.send(frame)

    def abort(self) -> None:
        """Break the connection as a failing network does."""
        self._websocket.abort()
        self._audible.set()

    def closed(self) -> None:
        """Say that the transport has gone."""
        for timer in (self._closing, self._silence):
            if timer is not None:
                timer.cancel()
        self._websocket.close()

    async def _read_frame(self) -> bytes:
        size = int.from_bytes(await self._read(LENGTH_BYTES), "big")
        return await self._read(size)

    async def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._websocket.receive()
            await self._audible.wait()
            if not data:
                raise StreamEnded
            self._buffer += data
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _write_frame(self, data: bytes) -> None:
        frame = len(data).to_bytes(LENGTH_BYTES, "big") + data
        if self._audible.is_set():
            self._websocket.send(frame)
        else:
            self._held.append(frame)
