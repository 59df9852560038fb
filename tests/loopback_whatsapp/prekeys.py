"""The keys by which sessions are begun: uploads of companions, and bundles handed out."""

from .account import Companion, Directory
from .double_ratchet import Bundle
from .iq import Iq
from .node import Jid, Node
from .xeddsa import DJB_KEY_TYPE

KEY_ID_BYTES, REGISTRATION_ID_BYTES = 3, 4


def store_upload(companion: Companion, upload: Node) -> None:
    """Keep the prekeys and the signed prekey of an upload."""
    for key in upload.child("list").children:
        key_id = int.from_bytes(key.child("id").data, "big")
        companion.prekeys[key_id] = key.child("value").data
    signed = upload.child("skey")
    companion.signed_prekey_id = int.from_bytes(signed.child("id").data, "big")
    companion.signed_prekey = signed.child("value").data
    companion.signature = signed.child("signature").data


def hand_out(iq: Iq, directory: Directory) -> None:
    """Answer a question for the bundles of devices."""
    users = [_user(child.jid("jid"), directory) for child in iq.body.children]
    iq.result(Node("list", {}, users))


def bundle_of(jid: Jid, directory: Directory) -> Bundle | None:
    """A fresh bundle of a phone or a companion, if there is such a device."""
    account = directory.find(jid)
    if account is None:
        return None
    if jid.device == 0:
        return account.keys.publish()
    companion = account.companions.get(jid.device)
    return companion.publish() if companion else None


def _user(jid: Jid, directory: Directory) -> Node:
    bundle = bundle_of(jid, directory)
    if bundle is None:
        error = Node("error", {"code": 404, "text": "item-not-found"})
        return Node("user", {"jid": jid}, [error])
    keys = [
        Node("registration", {}, bundle.registration_id.to_bytes(REGISTRATION_ID_BYTES, "big")),
        Node("type", {}, DJB_KEY_TYPE),
        Node("identity", {}, bundle.identity),
    ]
    if bundle.prekey is not None and bundle.prekey_id is not None:
        keys.append(Node("key", {}, _key(bundle.prekey_id, bundle.prekey)))
    signature = Node("signature", {}, bundle.signature)
    signed = [*_key(bundle.signed_prekey_id, bundle.signed_prekey), signature]
    return Node("user", {"jid": jid}, [*keys, Node("skey", {}, signed)])


def _key(key_id: int, value: bytes) -> list[Node]:
    return [Node("id", {}, key_id.to_bytes(KEY_ID_BYTES, "big")), Node("value", {}, value)]
