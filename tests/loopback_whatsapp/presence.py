"""Who is there and who writes: what companions let others see, and what contacts show them."""

from typing import Literal, get_args

from .account import Account, Companion
from .network import Network
from .node import GROUP_SERVER, Attribute, Attributes, Jid, Node

Presence = Literal["available", "unavailable"]
Typing = Literal["composing", "recording", "paused"]


def receive_presence(network: Network, companion: Companion, presence: Node) -> None:
    """Note that a companion is (un)available, or wants to know whether a contact is."""
    state, to = presence.text("type"), presence.attrs.get("to")
    whom = f" {_name(network, to)}" if to else ""
    companion.account.shown.append(state + whom)
    companion.push_name = presence.text("name") or companion.push_name


def receive_chatstate(network: Network, companion: Companion, chatstate: Node) -> None:
    """Note that a companion writes, and let the companions of the other one see it."""
    to, state = chatstate.jid("to"), chatstate.children[0]
    typing = "recording" if state.text("media") == "audio" else state.tag
    companion.account.shown.append(f"{typing} {_name(network, to)}")
    other = network.directory.find(to)
    if other is not None:
        attrs = {"from": companion.account.lid}
        _send(other, Node("chatstate", attrs, [Node(state.tag, state.attrs)]))


def show(
    contact: Account, watcher: Account, state: Presence | Typing, last_seen_seconds: int | None
) -> None:
    """Let the companions of `watcher` that are there see a contact."""
    if state in get_args(Presence):
        is_gone = state == "unavailable"
        attrs: Attributes = {"from": contact.lid, "type": "unavailable" if is_gone else None}
        return _send(watcher, Node("presence", attrs | {"last": last_seen_seconds}))
    tag = "paused" if state == "paused" else "composing"
    media = {"media": "audio"} if state == "recording" else {}
    return _send(watcher, Node("chatstate", {"from": contact.lid}, [Node(tag, media)]))


def _send(account: Account, stanza: Node) -> None:
    # Nothing is queued: who was not there has not seen it.
    for stream in account.online_streams():
        stream.send(stanza)


def _name(network: Network, to: Attribute) -> str:
    jid = to if isinstance(to, Jid) else Jid.parse(str(to))
    account = None if jid.server == GROUP_SERVER else network.directory.find(jid)
    return account.phone if account else jid.user
