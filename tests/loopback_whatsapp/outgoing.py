"""Messages that companions send: read by the phones they are for, passed on to other companions."""

import logging
import time
from collections.abc import Iterator

from . import phone, receipts
from .account import Account, Companion, Received
from .double_ratchet import ReadBefore, Undecryptable
from .message import DEVICE_SENT, SENDER_KEY_DISTRIBUTION, text_of
from .network import Network
from .node import GROUP_SERVER, Attributes, Jid, Node
from .protobuf import Fields
from .sender_key import SenderKey
from .signal_device import unpad

log = logging.getLogger(__name__)


def receive_message(network: Network, companion: Companion, stanza: Node) -> None:
    """Deliver a message to all its devices, and acknowledge it, unless it must be rejected."""
    error = network.faults.next_message_error(companion.account.phone)
    # First of all: WhatsApp takes a message whether or not the phones can read it.
    receipts.acknowledge(network, companion, stanza, error=error)
    if error is None:
        _distribute(network, companion, stanza)


def _distribute(network: Network, companion: Companion, stanza: Node) -> None:
    readers = []
    for jid, encrypted in _participants(stanza):
        owner = network.directory.find(jid)
        if owner is None:
            continue
        if jid.device:
            _pass_on(companion, stanza, owner.companions.get(jid.device), encrypted)
        elif _read(companion, stanza, owner, encrypted):
            readers.append(owner)
    group_text = stanza.find("enc")
    if group_text is not None and stanza.jid("to").server == GROUP_SERVER:
        readers += _read_in_group(network, companion, stanza, group_text)
    for reader in readers:
        if reader.sends_delivery_receipts:
            sender, ids = companion.account, [stanza.text("id")]
            network.later(phone.send_receipts, reader, sender, ids, "delivered")


def _participants(stanza: Node) -> Iterator[tuple[Jid, Node]]:
    participants = stanza.find("participants")
    if participants is not None:
        for to in participants.children:
            yield to.jid("jid"), to.child("enc")
    elif stanza.jid("to").server != GROUP_SERVER:
        yield stanza.jid("to"), stanza.child("enc")


def _read(companion: Companion, stanza: Node, owner: Account, encrypted: Node) -> bool:
    """Show a message on a phone; whether it is one that the phone acknowledges."""
    peer, id_ = str(companion.address), stanza.text("id")
    try:
        plaintext = owner.keys.decrypt(peer, encrypted.text("type"), encrypted.data)
    except Undecryptable as reason:
        is_own = owner is companion.account
        if isinstance(reason, ReadBefore) and (is_own or _is_shown(owner, id_)):
            # A companion that has missed the ack sends again: the phone shows the message once.
            return not is_own
        log.warning("phone %s cannot read message %s: %s", owner.phone, id_, reason)
        owner.undecryptable.append(id_)
        return False
    message = Fields(plaintext)
    if SENDER_KEY_DISTRIBUTION in message:
        _keep_sender_key(owner, peer, message.message(SENDER_KEY_DISTRIBUTION))
        return False
    if owner is companion.account or DEVICE_SENT in message:
        return False
    _show(owner, companion.account, stanza, message)
    return True


def _is_shown(owner: Account, id_: str) -> bool:
    return any(one.id == id_ for one in owner.received)


def _keep_sender_key(owner: Account, peer: str, distribution: Fields) -> None:
    group = distribution.data(1).decode()
    key = SenderKey.from_distribution(distribution.data(2))
    owner.keys.group_receiving[group, peer] = key


def _read_in_group(
    network: Network, companion: Companion, stanza: Node, encrypted: Node
) -> list[Account]:
    group, peer = stanza.jid("to"), str(companion.address)
    readers = []
    for member in network.groups.get(group.user).members:
        key = member.keys.group_receiving.get((str(group), peer))
        if member is companion.account or key is None:
            continue
        _show(member, companion.account, stanza, Fields(unpad(key.decrypt(encrypted.data))))
        readers.append(member)
    return readers


def _show(reader: Account, sender: Account, stanza: Node, message: Fields) -> None:
    to = stanza.jid("to")
    group = to.user if to.server == GROUP_SERVER else None
    text, now = text_of(message), int(time.time())
    reader.received.append(Received(stanza.text("id"), sender.phone, text, now, group))


def _pass_on(
    companion: Companion, stanza: Node, recipient: Companion | None, encrypted: Node
) -> None:
    """Deliver a message to another companion, as it is encrypted for it."""
    if recipient is None:
        return
    is_own = recipient.account is companion.account
    attrs: Attributes = {
        "from": companion.address,
        "sender_pn": companion.account.pn,
        "recipient": stanza.jid("to") if is_own else None,
        "addressing_mode": "lid",
        "type": stanza.text("type"),
        "id": stanza.text("id"),
        "t": int(time.time()),
        "notify": companion.account.name,
    }
    recipient.deliver(Node("message", attrs, [encrypted]))
