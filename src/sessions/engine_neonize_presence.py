"""What others are shown of the account, through the neonize library: read marks, presence, typing.

Unlike messages, these the library sends to the JID that it is given. WhatsApp addresses people by
LID, so a chat known by phone number is named by its LID as soon as that is known.
"""

from collections.abc import Sequence

from neonize.proto.Neonize_pb2 import JID
from neonize.utils.enum import ChatPresence, ChatPresenceMedia, Presence, ReceiptType

from sessions.engine import ChatState
from sessions.engine_neonize_binding import NotRunning, make_jid
from sessions.engine_neonize_client import Client
from sessions.messages import LID_SERVER, PHONE_SERVER

_TYPING = {
    "composing": (
        ChatPresence.CHAT_PRESENCE_COMPOSING,
        ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT,
    ),
    "recording": (
        ChatPresence.CHAT_PRESENCE_COMPOSING,
        ChatPresenceMedia.CHAT_PRESENCE_MEDIA_AUDIO,
    ),
    "paused": (ChatPresence.CHAT_PRESENCE_PAUSED, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT),
}


def mark_read(client: Client, chat: str, sender: str | None, whatsapp_ids: Sequence[str]) -> None:
    """Tell the sender that messages were read; with a group, `sender` is the member.

    Raises:
        MarkReadError: see `engine_neonize_sending.meaning`.
        NotRunning: there is no client that is logged in.
    """
    where = _address(client, chat)
    who = where if sender is None else _address(client, sender)
    with client.using() as library:
        library.mark_read(*whatsapp_ids, chat=where, sender=who, receipt=ReceiptType.READ)


def show_presence(client: Client, *, available: bool) -> None:
    """Show the account as online or not.

    Raises:
        SendPresenceError: see `engine_neonize_sending.meaning`.
        NotRunning: there is no client that is logged in.
    """
    _require_login(client)
    with client.using() as library:
        library.send_presence(Presence.AVAILABLE if available else Presence.UNAVAILABLE)


def show_typing(client: Client, chat: str, state: ChatState) -> None:
    """Show in a chat that somebody is typing or recording, or has stopped.

    Raises:
        SendPresenceError: see `engine_neonize_sending.meaning`.
        NotRunning: there is no client that is logged in.
    """
    where = _address(client, chat)
    presence, media = _TYPING[state]
    with client.using() as library:
        library.send_chat_presence(where, presence, media)


def _address(client: Client, jid: str) -> JID:
    _require_login(client)
    user, _, server = jid.partition("@")
    lid = client.lid_of(user) if server == PHONE_SERVER else None
    return make_jid(lid, LID_SERVER) if lid else make_jid(user, server)


def _require_login(client: Client) -> None:
    # Asked for names before it is logged in, the library ends its process.
    if not client.has_logged_in:
        raise NotRunning
