"""A question of a companion, which waits for one result or error."""

from dataclasses import dataclass

from .node import SERVER, Attribute, Node
from .stream import Stream

NOTHING = Node("")


@dataclass(frozen=True, slots=True)
class Iq:
    """An `<iq>` of type get or set, and the stream to answer on."""

    stream: Stream
    stanza: Node

    @property
    def subject(self) -> tuple[str, str, str]:
        """Namespace, type and tag of the first child."""
        return self.stanza.text("xmlns"), self.stanza.text("type"), self.body.tag

    @property
    def body(self) -> Node:
        return self.stanza.children[0] if self.stanza.children else NOTHING

    def result(self, *content: Node) -> None:
        self._answer("result", list(content))

    def error(self, code: int, text: str) -> None:
        self._answer("error", [Node("error", {"code": code, "text": text})])

    def _answer(self, iq_type: str, content: list[Node]) -> None:
        sender: Attribute = self.stanza.attrs.get("to") or SERVER
        attrs = {"from": sender, "type": iq_type, "id": self.stanza.text("id")}
        self.stream.send(Node("iq", attrs, content or None))
