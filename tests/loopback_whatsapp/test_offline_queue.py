from .node import Node
from .offline_queue import OfflineQueue


def queue_of(*stanzas: Node) -> OfflineQueue:
    queue = OfflineQueue()
    for stanza in stanzas:
        queue.add(stanza)
    return queue


def test_stanzas_wait_in_order_until_acknowledged() -> None:
    messages = [Node("message", {"id": f"m{n}"}) for n in range(3)]
    queue = queue_of(*messages)
    assert list(queue) == messages
    queue.acknowledge(Node("receipt", {"id": "m1", "type": "inactive"}))
    assert list(queue) == [messages[0], messages[2]]


def test_a_receipt_waits_for_the_ack_of_its_own_type() -> None:
    delivered, read = Node("receipt", {"id": "m"}), Node("receipt", {"id": "m", "type": "read"})
    queue = queue_of(delivered, read)
    queue.acknowledge(Node("receipt", {"id": "m"}))
    queue.acknowledge(Node("ack", {"class": "message", "id": "m"}))
    assert len(queue) == 2
    queue.acknowledge(Node("ack", {"class": "receipt", "id": "m"}))
    assert list(queue) == [read]
    queue.acknowledge(Node("ack", {"class": "receipt", "id": "m", "type": "read"}))
    assert list(queue) == []
