"""What humans do on their phones once an account is linked: write, read, remove a device."""

import secrets
import time

from .account import Account, Companion, Received, Written
from .app_state import AppState
from .groups import Group
from .message import device_sent_message, sender_key_message, text_message
from .node import Attributes, Node
from .sender_key import SenderKey
from .signal_device import pad


def new_message_id() -> str:
    return secrets.token_hex(8).upper()


def write_text(sender: Account, recipient: Account, text: str) -> str:
    """Send a text from a phone to another account's devices; return the message's id."""
    message_id, now = new_message_id(), int(time.time())
    message = text_message(text)
    attrs = _from_phone(sender) | _head(message_id, now, sender)
    recipient.received.append(Received(message_id, sender.phone, text, now))
    sender.written[message_id] = Written(attrs, message)
    for companion in recipient.companions.values():
        companion.deliver(Node("message", attrs, [_encrypt(sender, companion, message)]))
    # The sender's own companions see what it has written on its phone.
    copy = device_sent_message(recipient.lid, message)
    for companion in sender.companions.values():
        own = attrs | {"recipient": recipient.lid}
        companion.deliver(Node("message", own, [_encrypt(sender, companion, copy)]))
    return message_id


def write_to_own(companion: Companion, message: bytes) -> None:
    """Tell a companion of the phone's own something that no human sees."""
    owner, message_id = companion.account, new_message_id()
    attrs: Attributes = {
        "from": owner.lid,
        "category": "peer",
        "type": "text",
        "id": message_id,
        "t": int(time.time()),
    }
    owner.written[message_id] = Written(attrs, message)
    companion.deliver(Node("message", attrs, [_encrypt(owner, companion, message)]))


def set_push_name(owner: Account, push_name: str) -> None:
    """Set the name that others see, without which companions cannot show their presence."""
    is_first, app_state = owner.app_state is None, owner.app_state or AppState()
    owner.app_state = app_state
    app_state.set_push_name(push_name)
    if is_first:
        owner.welcome.append(app_state.key_share())
    for companion in owner.companions.values():
        if is_first:
            write_to_own(companion, app_state.key_share())
        else:
            companion.deliver(app_state.notice())


def welcome(companion: Companion) -> None:
    """Hand over what the phone gives each new companion, once."""
    if not companion.welcomed:
        companion.welcomed = True
        for message in companion.account.welcome:
            write_to_own(companion, message)


def write_again(sender: Account, companion: Companion, message_id: str) -> None:
    """Send a message again, in a new session, to a companion that could not read it."""
    written = sender.written.get(message_id)
    if written is None:
        return
    sender.keys.begin_session(str(companion.address), companion.publish())
    companion.deliver(
        Node("message", written.attrs, [_encrypt(sender, companion, written.message)])
    )


def write_to_group(sender: Account, group: Group, text: str) -> str:
    """Send a text from a phone to a group; return the message's id."""
    message_id, now = new_message_id(), int(time.time())
    key = sender.keys.group_sending.setdefault(str(group.jid), SenderKey.generate())
    distribution = sender_key_message(group.jid, key.distribution())
    message = text_message(text)
    ciphertext = Node("enc", {"v": 2, "type": "skmsg"}, key.encrypt(pad(message)))
    attrs = _from_group(sender, group) | _head(message_id, now, sender)
    sender.written[message_id] = Written(attrs, message)
    for member in group.members:
        if member is not sender:
            received = Received(message_id, sender.phone, text, now, group.jid.user)
            member.received.append(received)
        for companion in member.companions.values():
            # Every message carries the key: so it does not matter who has joined since.
            distributed = _encrypt(sender, companion, distribution)
            companion.deliver(Node("message", attrs, [distributed, ciphertext]))
    return message_id


def send_receipts(reader: Account, sender: Account, ids: list[str], receipt_type: str) -> None:
    """Tell companions that a phone has got (`delivered`) or shown (`read`) their messages."""
    attrs: Attributes = {"from": reader.lid, "id": ids[0], "t": int(time.time())}
    if receipt_type != "delivered":
        attrs["type"] = receipt_type
    items = [Node("item", {"id": message_id}) for message_id in ids[1:]]
    content = [Node("list", {}, items)] if items else None
    for companion in sender.companions.values():
        companion.deliver(Node("receipt", attrs, content))


def remove_device(companion: Companion) -> None:
    """Unlink a companion from its phone."""
    companion.account.companions.pop(companion.device, None)
    if companion.stream is not None:
        removed = Node("conflict", {"type": "device_removed"})
        companion.stream.end(Node("stream:error", {"code": 401}, [removed]))


def _from_phone(sender: Account) -> Attributes:
    return {"from": sender.lid, "sender_pn": sender.pn}


def _from_group(sender: Account, group: Group) -> Attributes:
    return {"from": group.jid, "participant": sender.lid, "participant_pn": sender.pn}


def _head(message_id: str, now: int, sender: Account) -> Attributes:
    return {
        "addressing_mode": "lid",
        "type": "text",
        "id": message_id,
        "t": now,
        "notify": sender.name,
    }


def _encrypt(sender: Account, companion: Companion, message: bytes) -> Node:
    peer = str(companion.address)
    if not sender.keys.has_session(peer):
        sender.keys.begin_session(peer, companion.publish())
    encryption_type, ciphertext = sender.keys.encrypt(peer, message)
    if sender.spoils:
        sender.spoils -= 1
        ciphertext = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
    return Node("enc", {"v": 2, "type": encryption_type}, ciphertext)
