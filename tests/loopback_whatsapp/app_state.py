"""The settings that an account's devices share, of which there is the name that others see.

Patches of the collection `critical_block`, encrypted with a key that only the devices have. The
setting is the only one, so that the sum over all of them (LTHash) is its own hash.
"""

import hmac
import json
import secrets
import struct
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from . import protobuf
from .hkdf import hkdf
from .message import key_share_message
from .node import SERVER, Attributes, Node

COLLECTION = "critical_block"
INDEX = json.dumps(["setting_pushName"]).encode()
PUSH_NAME_SETTING = 7
SET, SET_BYTE = 0, b"\x01"
KEY_ID_BYTES, KEY_BYTES, IV_BYTES, MAC_BYTES, BLOCK_BITS = 6, 32, 16, 32, 128
LT_HASH_BYTES = 128


class AppState:
    """The collection of one account."""

    def __init__(self) -> None:
        self._key_id, self._key = secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES)
        keys = hkdf(self._key, info=b"WhatsApp Mutation Keys", size=5 * KEY_BYTES)
        parts = [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
        self._index_key, self._value_key, self._value_mac_key = parts[:3]
        self._snapshot_mac_key, self._patch_mac_key = parts[3:]
        self._patches: list[bytes] = []

    def key_share(self) -> bytes:
        """The message by which the phone gives a companion the key; it then asks for patches."""
        # Without a fingerprint the library cannot store the key.
        fingerprint = protobuf.encode((1, 1), (2, 0))
        data = protobuf.encode((1, self._key), (2, fingerprint), (3, int(time.time())))
        return key_share_message(protobuf.encode((1, self._encoded_key_id()), (2, data)))

    def notice(self) -> Node:
        """The server's word to companions that there is a new patch."""
        attrs: Attributes = {
            "from": SERVER,
            "type": "server_sync",
            "id": secrets.token_hex(8),
            "t": int(time.time()),
        }
        collection = Node("collection", {"name": COLLECTION, "version": len(self._patches)})
        return Node("notification", attrs, [collection])

    def patches_after(self, name: str, version: int) -> list[bytes]:
        """Encoded patches of a collection that are newer than a version."""
        return self._patches[version:] if name == COLLECTION else []

    def set_push_name(self, push_name: str) -> None:
        """Add the patch of a (new) name."""
        version = len(self._patches) + 1
        blob = self._encrypt(_setting(push_name))
        mac = blob[-MAC_BYTES:]
        record = protobuf.encode(
            (1, protobuf.encode((1, hmac.digest(self._index_key, INDEX, "sha256")))),
            (2, protobuf.encode((1, blob))),
            (3, self._encoded_key_id()),
        )
        where = struct.pack(">Q", version) + COLLECTION.encode()
        sum_of_all = hkdf(mac, info=b"WhatsApp Patch Integrity", size=LT_HASH_BYTES)
        snapshot_mac = hmac.digest(self._snapshot_mac_key, sum_of_all + where, "sha256")
        patch = protobuf.encode(
            (1, protobuf.encode((1, version))),
            (2, protobuf.encode((1, SET), (2, record))),
            (4, snapshot_mac),
            (5, hmac.digest(self._patch_mac_key, snapshot_mac + mac + where, "sha256")),
            (6, self._encoded_key_id()),
        )
        self._patches.append(patch)

    def _encrypt(self, plaintext: bytes) -> bytes:
        """IV, ciphertext and MAC."""
        iv, padder = secrets.token_bytes(IV_BYTES), PKCS7(BLOCK_BITS).padder()
        padded = padder.update(plaintext) + padder.finalize()
        encryptor = Cipher(algorithms.AES(self._value_key), modes.CBC(iv)).encryptor()
        content = iv + encryptor.update(padded) + encryptor.finalize()
        size = struct.pack(">Q", len(SET_BYTE + self._key_id))
        signed = SET_BYTE + self._key_id + content + size
        return content + hmac.digest(self._value_mac_key, signed, "sha512")[:MAC_BYTES]

    def _encoded_key_id(self) -> bytes:
        return protobuf.encode((1, self._key_id))


def _setting(push_name: str) -> bytes:
    name = protobuf.encode((1, push_name))
    value = protobuf.encode((1, int(time.time() * 1000)), (PUSH_NAME_SETTING, name))
    return protobuf.encode((1, INDEX), (2, value), (3, b""), (4, 1))
