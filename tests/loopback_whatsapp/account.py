"""WhatsApp accounts: a phone number, a phone with its keys, and the companions linked to it."""

from dataclasses import dataclass, field

from .app_state import AppState
from .double_ratchet import Bundle
from .errors import Conflict, NotFound
from .node import LID_SERVER, PHONE_SERVER, Attributes, Jid, Node
from .offline_queue import OfflineQueue
from .signal_device import SignalDevice
from .stream import Stream


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the phone shows it."""

    id: str
    sender: str
    text: str
    timestamp_seconds: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A receipt that somebody's companion has sent to the phone: type "" means delivered."""

    sender: str
    ids: list[str]
    type: str


@dataclass(frozen=True, slots=True)
class ReadMark:
    """Messages of `sender` that a companion has marked as read."""

    sender: str
    ids: list[str]
    group: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """A message that the phone has sent, kept for those that ask for it again."""

    attrs: Attributes
    message: bytes


@dataclass(slots=True)
class Companion:
    """A linked device: the keys it has uploaded, and its one stream while it is connected."""

    account: "Account"
    device: int
    registration_id: int
    identity: bytes
    noise_key: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekeys: dict[int, bytes] = field(default_factory=dict)
    queue: OfflineQueue = field(default_factory=OfflineQueue)
    stream: Stream | None = None
    # A companion gets stanzas only from when it has declared itself active after its login.
    active: bool = False
    logins: int = 0
    # The name it has given with its presence.
    push_name: str | None = None
    # Whether the phone has handed over what it gives each new companion.
    welcomed: bool = False

    @property
    def address(self) -> Jid:
        return Jid(self.account.lid.user, LID_SERVER, self.device)

    @property
    def online(self) -> bool:
        return self.stream is not None and self.active

    def publish(self) -> Bundle:
        """A bundle with a prekey that nobody else gets, as long as there are any."""
        prekey_id = min(self.prekeys, default=None)
        return Bundle(
            self.registration_id,
            self.identity,
            self.signed_prekey_id,
            self.signed_prekey,
            self.signature,
            prekey_id,
            None if prekey_id is None else self.prekeys.pop(prekey_id),
        )

    def deliver(self, stanza: Node) -> None:
        """Queue a stanza, and send it now when the companion is online."""
        self.queue.add(stanza)
        if self.stream is not None and self.active:
            self.stream.send(stanza)

    def connected(self, stream: Stream) -> None:
        """Make a stream the companion's only one."""
        # Two streams of one device would each move the same ratchets, so WhatsApp ends the older.
        if self.stream is not None:
            replaced = Node("conflict", {"type": "replaced"})
            self.stream.end(Node("stream:error", {}, [replaced]))
        self.stream, self.active = stream, False
        self.logins += 1

    def disconnected(self, stream: Stream) -> None:
        """Say that a stream has gone, which may no longer be the companion's."""
        if self.stream is stream:
            self.stream, self.active = None, False


class Account:
    """One phone number with its phone (device 0) and its companions (devices 1, 2, ...)."""

    def __init__(self, phone: str, name: str) -> None:
        self.phone, self.name = phone, name or phone
        self.pn = Jid(phone, PHONE_SERVER)
        # Other digits than the number's, so that who mixes the two up does not find the account.
        self.lid = Jid("9" + phone[::-1][:13], LID_SERVER)
        self.keys = SignalDevice()
        self.companions: dict[int, Companion] = {}
        self.received: list[Received] = []
        self.acknowledged: list[Acknowledged] = []
        self.read_marks: list[ReadMark] = []
        # What its companions have let others see, in words: "available", "composing 4477...".
        self.shown: list[str] = []
        self.undecryptable: list[str] = []
        self.written: dict[str, Written] = {}
        self.app_state: AppState | None = None
        # Messages of the phone to each companion that is linked from now on, e.g. its history.
        self.welcome: list[bytes] = []
        self.sends_delivery_receipts = True
        # How many of the next messages that it writes are spoilt on the way.
        self.spoils = 0
        self._last_device = 0

    def next_device(self) -> int:
        """A device number that was never used."""
        self._last_device += 1
        return self._last_device

    def linked(self) -> list[Companion]:
        """The companions, of which there must be one."""
        if not self.companions:
            raise Conflict(f"{self.phone} has no linked device; scan a QR code first.")
        return list(self.companions.values())

    def online_streams(self) -> list[Stream]:
        """The streams of the companions that get stanzas now."""
        companions = self.companions.values()
        return [c.stream for c in companions if c.online and c.stream is not None]

    def companion(self, device: int | None = None) -> Companion:
        """One companion, by default the newest."""
        companions = {companion.device: companion for companion in self.linked()}
        number = max(companions) if device is None else device
        if number not in companions:
            raise NotFound(f"{self.phone} has no linked device {number}.")
        return companions[number]


class Directory:
    """All accounts, by phone number and by address."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._by_lid: dict[str, Account] = {}

    def open(self, phone: str, name: str | None = None) -> Account:
        """The account of a phone number, registered now if need be."""
        account = self._accounts.get(phone)
        if account is None:
            account = self._accounts[phone] = Account(phone, name or "")
            self._by_lid[account.lid.user] = account
        account.name = name or account.name
        return account

    def get(self, phone: str) -> Account:
        if phone not in self._accounts:
            raise NotFound(f"{phone} is not on WhatsApp here; POST /accounts registers it.")
        return self._accounts[phone]

    def find(self, jid: Jid) -> Account | None:
        """The owner of an address, by phone number or LID."""
        known = self._by_lid if jid.server == LID_SERVER else self._accounts
        return known.get(jid.user)

    def all(self) -> list[Account]:
        return list(self._accounts.values())
