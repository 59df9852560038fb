"""Stanzas for one companion that it has not acknowledged yet."""

from collections.abc import Iterator

from .node import Node

Key = tuple[str, str, str]


class OfflineQueue:
    """Oldest first; a stanza stays, and is delivered again at each login, until acknowledged."""

    def __init__(self) -> None:
        self._stanzas: dict[Key, Node] = {}

    def __len__(self) -> int:
        return len(self._stanzas)

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._stanzas.values()))

    def add(self, stanza: Node) -> None:
        self._stanzas[_key(stanza.tag, stanza)] = stanza

    def acknowledge(self, answer: Node) -> None:
        """Drop what a companion's `<ack class=... id=...>` or `<receipt id=...>` is about."""
        if answer.tag == "receipt":
            self._stanzas.pop(_key("message", answer), None)
        else:
            self._stanzas.pop(_key(answer.text("class"), answer), None)


def _key(tag: str, stanza: Node) -> Key:
    # Receipts of a message share its id, so that only their type tells them apart.
    receipt_type = stanza.text("type") if tag == "receipt" else ""
    return tag, stanza.text("id"), receipt_type
