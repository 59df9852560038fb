"""A phone's end of the encryption: its identity, its prekeys and its sessions with companions."""

import secrets

from .double_ratchet import Bundle, EncryptionType, ReadBefore, Session, Undecryptable
from .protobuf import Fields
from .sender_key import SenderKey
from .xeddsa import KeyPair


class SignalDevice:
    """Keys and sessions of one simulated phone."""

    def __init__(self) -> None:
        self.identity = KeyPair()
        self.registration_id = 1 + secrets.randbelow(16380)
        self._signed_prekey, self._signed_prekey_id = KeyPair(), 1
        self._signature = self.identity.sign(self._signed_prekey.typed_public)
        self._prekeys: dict[int, KeyPair] = {}
        self._sessions: dict[str, list[Session]] = {}  # newest first
        self._answered: dict[tuple[str, bytes], Session] = {}
        self.group_sending: dict[str, SenderKey] = {}
        self.group_receiving: dict[tuple[str, str], SenderKey] = {}

    def publish(self) -> Bundle:
        """A bundle with a prekey that nobody else gets."""
        prekey_id = len(self._prekeys) + 1
        self._prekeys[prekey_id] = prekey = KeyPair()
        return Bundle(
            self.registration_id,
            self.identity.public,
            self._signed_prekey_id,
            self._signed_prekey.public,
            self._signature,
            prekey_id,
            prekey.public,
        )

    def has_session(self, peer: str) -> bool:
        return bool(self._sessions.get(peer))

    def begin_session(self, peer: str, bundle: Bundle) -> None:
        """Write to a device in a new session from now on."""
        session = Session.initiate(self.identity, self.registration_id, bundle)
        self._sessions.setdefault(peer, []).insert(0, session)

    def encrypt(self, peer: str, plaintext: bytes) -> tuple[EncryptionType, bytes]:
        """Encrypt in the newest session with a device."""
        return self._sessions[peer][0].encrypt(pad(plaintext))

    def decrypt(self, peer: str, encryption_type: str, ciphertext: bytes) -> bytes:
        """Decrypt a `pkmsg` or `msg` from a device; ReadBefore when it is a copy."""
        if encryption_type == "pkmsg":
            fields = Fields(ciphertext[1:])
            return unpad(self._answer(peer, fields).decrypt(fields.data(4)))
        # Older sessions stay readable: when both sides begin at once, each has one of its own.
        for session in self._sessions.get(peer, []):
            try:
                return unpad(session.decrypt(ciphertext))
            except ReadBefore:
                raise
            except Undecryptable:
                continue
        raise Undecryptable(f"no session with {peer} reads the message")

    def _answer(self, peer: str, fields: Fields) -> Session:
        base, their_identity = fields.data(2)[1:], fields.data(3)[1:]
        # Until it is answered a companion repeats the same base key, which is the same session.
        if (peer, base) in self._answered:
            return self._answered[peer, base]
        prekey = self._prekeys[fields.integer(1)] if 1 in fields else None
        session = Session.respond(self.identity, their_identity, base, self._signed_prekey, prekey)
        self._answered[peer, base] = session
        self._sessions.setdefault(peer, []).insert(0, session)
        return session


def pad(plaintext: bytes) -> bytes:
    """Hide the length of a message: n bytes of value n."""
    size = 1 + secrets.randbelow(15)
    return plaintext + bytes([size]) * size


def unpad(plaintext: bytes) -> bytes:
    """Reverse of `pad`."""
    return plaintext[: -plaintext[-1]]
