"""What companions and the server acknowledge to each other, and the receipts between people."""

import time

from . import phone
from .account import Account, Acknowledged, Companion, ReadMark
from .network import Network
from .node import GROUP_SERVER, Attributes, Node

RETRY = "retry"
# Other types speak of the device alone: nobody but the server hears of them.
SEEN_BY_PEOPLE = ("read", "played")
# The second tells nobody: so it is when the account's settings hide what it has read.
READ = ("read", "read-self")


def acknowledge(
    network: Network, companion: Companion, stanza: Node, *, error: int | None = None
) -> None:
    """Send the server's `<ack>`, as late as the network is slow; an error says it is rejected."""
    attrs: Attributes = {
        "class": stanza.tag,
        "id": stanza.text("id"),
        "from": stanza.attrs.get("to"),
        "type": stanza.attrs.get("type") if stanza.tag == "receipt" else None,
        "t": int(time.time()),
        "error": error,
    }
    if companion.stream is not None:
        network.later(companion.stream.send, Node("ack", attrs))


def receive_receipt(network: Network, companion: Companion, receipt: Node) -> None:
    """Take a companion's receipt: the message needs no further delivery, or another one."""
    acknowledge(network, companion, receipt)
    writer = receipt.jid("participant" if "participant" in receipt.attrs else "to")
    sender = network.directory.find(writer)
    if receipt.text("type") != RETRY:
        receive_ack(network, companion, receipt)
        return _tell(companion.account, sender, receipt) if sender else None
    return phone.write_again(sender, companion, receipt.text("id")) if sender else None


def receive_ack(network: Network, companion: Companion, answer: Node) -> None:
    """Drop what a companion has acknowledged from its queue, unless acknowledgements get lost."""
    if not network.faults.loses_acknowledgements:
        companion.queue.acknowledge(answer)


def _tell(reader: Account, sender: Account, receipt: Node) -> None:
    more = receipt.find("list")
    ids = [receipt.text("id"), *(item.text("id") for item in (more.children if more else []))]
    receipt_type = receipt.text("type")
    sender.acknowledged.append(Acknowledged(reader.phone, ids, receipt_type))
    if receipt_type in READ:
        to = receipt.jid("to")
        group = to.user if to.server == GROUP_SERVER else None
        reader.read_marks.append(ReadMark(sender.phone, ids, group))
    if receipt_type in SEEN_BY_PEOPLE:
        phone.send_receipts(reader, sender, ids, receipt_type)
