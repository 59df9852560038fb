"""WhatsApp's binary XML: the form in which stanzas travel.

The encoder writes what has no token as plain bytes, which clients accept; the decoder reads all.
"""

import json
import zlib
from pathlib import Path

from .node import Attribute, Jid, MalformedStanza, Node

DICTIONARY_0, DICTIONARY_3 = 236, 239
AD_JID, LIST_8, LIST_16, JID_PAIR, HEX_8 = 247, 248, 249, 250, 251
BINARY_8, BINARY_20, BINARY_32, NIBBLE_8 = 252, 253, 254, 255
COMPRESSED = 2

_TOKENS = json.loads((Path(__file__).parent / "tokens.json").read_text())
SINGLE: list[str] = [token or "" for token in _TOKENS["single_byte_tokens"]]
DOUBLE: list[list[str]] = _TOKENS["double_byte_tokens"]
_CODES: dict[str, bytes] = {
    token: bytes([DICTIONARY_0 + page, index])
    for page, tokens in enumerate(DOUBLE)
    for index, token in enumerate(tokens)
} | {token: bytes([index]) for index, token in enumerate(SINGLE) if token}

_DOMAINS = {"s.whatsapp.net": 0, "lid": 1, "hosted": 128, "hosted.lid": 129}
_SERVERS = {domain: server for server, domain in _DOMAINS.items()}
_ALPHABETS = {HEX_8: "0123456789ABCDEF", NIBBLE_8: "0123456789-.\0\0\0\0"}


def encode(node: Node) -> bytes:
    """Encode a stanza, with the leading flag byte (0: not compressed)."""
    out = bytearray(b"\0")
    _write_node(out, node)
    return bytes(out)


def decode(data: bytes) -> Node:
    """Decode a stanza that starts with its flag byte."""
    body = zlib.decompress(data[1:]) if data[0] & COMPRESSED else data[1:]
    return _Reader(body).node()


def _write_node(out: bytearray, node: Node) -> None:
    attrs = {name: value for name, value in node.attrs.items() if value not in (None, "")}
    _write_list_size(out, 1 + 2 * len(attrs) + (node.content is not None))
    _write_text(out, node.tag)
    for name, value in attrs.items():
        _write_text(out, name)
        _write_attribute(out, value)
    if isinstance(node.content, bytes):
        _write_bytes(out, node.content)
    elif node.content is not None:
        _write_list_size(out, len(node.content))
        for child in node.content:
            _write_node(out, child)


def _write_attribute(out: bytearray, value: Attribute) -> None:
    if not isinstance(value, Jid):
        return _write_text(out, str(value))
    if value.device and value.server in _DOMAINS:
        out += bytes([AD_JID, _DOMAINS[value.server], value.device])
        return _write_text(out, value.user)
    out.append(JID_PAIR)
    if value.user:
        _write_text(out, value.user)
    else:
        out.append(0)
    return _write_text(out, value.server)


def _write_text(out: bytearray, text: str) -> None:
    code = _CODES.get(text)
    if code is not None:
        out += code
    else:
        _write_bytes(out, text.encode())


def _write_bytes(out: bytearray, data: bytes) -> None:
    size = len(data)
    if size < 1 << 8:
        out += bytes([BINARY_8, size])
    elif size < 1 << 20:
        out += bytes([BINARY_20]) + size.to_bytes(3, "big")
    else:
        out += bytes([BINARY_32]) + size.to_bytes(4, "big")
    out += data


def _write_list_size(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(0)
    elif size < 1 << 8:
        out += bytes([LIST_8, size])
    else:
        out += bytes([LIST_16]) + size.to_bytes(2, "big")


class _Reader:
    """Reads one stanza from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def node(self) -> Node:
        size = self._list_size(self._byte())
        tag = self._text()
        attrs: dict[str, Attribute] = {}
        for _ in range((size - 1) >> 1):
            name = self._text()
            attrs[name] = self._value(self._byte())
        return Node(tag, attrs, self._content() if size % 2 == 0 else None)

    def _content(self) -> bytes | list[Node] | None:
        tag = self._byte()
        if tag in (LIST_8, LIST_16):
            return [self.node() for _ in range(self._list_size(tag))]
        if tag in (BINARY_8, BINARY_20, BINARY_32):
            return self._binary(tag)
        value = self._value(tag)
        return None if value == "" else str(value).encode()

    def _text(self) -> str:
        return str(self._value(self._byte()))

    def _value(self, tag: int) -> str | Jid:
        match tag:
            case t if DICTIONARY_0 <= t <= DICTIONARY_3:
                return DOUBLE[t - DICTIONARY_0][self._byte()]
            case t if t in (AD_JID, JID_PAIR):
                return self._jid(t)
            case t if t in _ALPHABETS:
                return self._packed(_ALPHABETS[t])
            case t if t in (BINARY_8, BINARY_20, BINARY_32):
                return self._binary(t).decode("utf-8", "replace")
            case t if t < len(SINGLE):
                return SINGLE[t]
        raise MalformedStanza(f"unknown token {tag}")

    def _jid(self, tag: int) -> Jid:
        if tag == JID_PAIR:
            return Jid(self._text(), self._text())
        domain, device = self._byte(), self._byte()
        return Jid(self._text(), _SERVERS[domain], device)

    def _packed(self, alphabet: str) -> str:
        size = self._byte()
        text = "".join(alphabet[b >> 4] + alphabet[b & 15] for b in self._raw(size & 127))
        return text[:-1] if size & 128 else text

    def _binary(self, tag: int) -> bytes:
        match tag:
            case t if t == BINARY_8:
                return self._raw(self._byte())
            case t if t == BINARY_20:
                return self._raw(self._number(3) & 0xFFFFF)
        return self._raw(self._number(4))

    def _list_size(self, tag: int) -> int:
        match tag:
            case 0:
                return 0
            case t if t == LIST_8:
                return self._byte()
            case t if t == LIST_16:
                return self._number(2)
        raise MalformedStanza(f"token {tag} is not a list")

    def _byte(self) -> int:
        return self._raw(1)[0]

    def _number(self, size: int) -> int:
        return int.from_bytes(self._raw(size), "big")

    def _raw(self, size: int) -> bytes:
        data = self._data[self._position : self._position + size]
        if len(data) < size:
            raise MalformedStanza("a stanza ends too early")
        self._position += size
        return data
