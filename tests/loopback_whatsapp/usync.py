"""The directory as companions see it: who is on WhatsApp, with which LID and which devices."""

import time

from .account import Account, Directory
from .node import PHONE_SERVER, Jid, Node


def describe_user(user: Node, directory: Directory) -> Node:
    """Answer one `<user>` of a usync question."""
    contact = user.find("contact")
    if user.attrs.get("jid") is None and contact is not None:
        return _describe_contact(contact.data, directory)
    jid = user.jid("jid")
    account = directory.find(jid)
    if account is None:
        # Without a LID the library takes the number as not on WhatsApp.
        return Node("user", {"jid": jid}, [_devices([])])
    about = [Node("lid", {"val": account.lid}), Node("status", {}, b"hi")]
    return Node("user", {"jid": jid}, [*about, _devices(_device_nodes(account))])


def _describe_contact(query: bytes, directory: Directory) -> Node:
    """Answer `+447700900123@c.us`."""
    phone = query.decode().partition("@")[0].lstrip("+")
    jid = Jid(phone, PHONE_SERVER)
    account = directory.find(jid)
    if account is None:
        return Node("user", {"jid": jid}, [Node("contact", {"type": "out"}, query)])
    attrs = {"jid": account.lid, "pn_jid": account.pn}
    return Node("user", attrs, [Node("contact", {"type": "in"}, query)])


def _device_nodes(account: Account) -> list[Node]:
    companions = [Node("device", {"id": d, "key-index": d}) for d in account.companions]
    return [Node("device", {"id": 0}), *companions]


def _devices(devices: list[Node]) -> Node:
    key_index = Node("key-index-list", {"ts": int(time.time())})
    return Node("devices", {}, [Node("device-list", {}, devices), key_index])
