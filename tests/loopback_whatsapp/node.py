"""A stanza: a tree of nodes with a tag, attributes and content, addressed by JIDs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PHONE_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"


class MalformedStanza(ValueError):
    """The companion sent a stanza without something the protocol demands."""


@dataclass(frozen=True, slots=True)
class Jid:
    """An address: user and server, and the number of the user's device (0 is the phone)."""

    user: str
    server: str
    device: int = 0

    @classmethod
    def parse(cls, text: str) -> "Jid":
        """Read `user:device@server`."""
        user, _, server = text.rpartition("@")
        user, _, device = user.partition(":")
        return cls(user, server, int(device or 0))

    def __str__(self) -> str:
        user = f"{self.user}:{self.device}" if self.device else self.user
        return f"{user}@{self.server}" if user else self.server


SERVER = Jid("", PHONE_SERVER)

Attribute = str | int | Jid | None
Attributes = dict[str, Attribute]


@dataclass(slots=True)
class Node:
    """One element of a stanza; an attribute of None is not sent."""

    tag: str
    attrs: Mapping[str, Attribute] = field(default_factory=dict)
    content: "bytes | list[Node] | None" = None

    def __str__(self) -> str:
        """The stanza for a log: bytes only by their number, since they may be secret."""
        attrs = "".join(f' {name}="{value}"' for name, value in self.attrs.items() if value)
        inner = "".join(map(str, self.children)) or (
            f"[{len(self.content)} bytes]" if isinstance(self.content, bytes) else ""
        )
        return f"<{self.tag}{attrs}>{inner}</{self.tag}>" if inner else f"<{self.tag}{attrs}/>"

    @property
    def children(self) -> "list[Node]":
        return self.content if isinstance(self.content, list) else []

    @property
    def data(self) -> bytes:
        """The content of a node that must have bytes."""
        if not isinstance(self.content, bytes):
            raise MalformedStanza(f"<{self.tag}> has no data")
        return self.content

    def find(self, *path: str) -> "Node | None":
        """The first descendant along a path of tags."""
        node = self
        for tag in path:
            found = next((child for child in node.children if child.tag == tag), None)
            if found is None:
                return None
            node = found
        return node

    def child(self, *path: str) -> "Node":
        """The first descendant along a path of tags, which must be there."""
        node = self.find(*path)
        if node is None:
            raise MalformedStanza(f"<{self.tag}> has no {'/'.join(path)}")
        return node

    def text(self, name: str) -> str:
        """An attribute as text; "" when it is not there."""
        value = self.attrs.get(name)
        return "" if value is None else str(value)

    def jid(self, name: str) -> Jid:
        """An attribute that must be an address."""
        value = self.attrs.get(name)
        if isinstance(value, str) and value:
            return Jid.parse(value)
        if not isinstance(value, Jid):
            raise MalformedStanza(f"<{self.tag}> has no address {name!r}")
        return value
