"""Sending a text through the neonize library, and what its error texts mean.

The library tells errors as text only. What they mean decides whether a message may be sent again,
so whatever is not known to be certain counts as uncertain or refused, never as not sent.
"""

import re
from typing import Any

from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import ContextInfo, ExtendedTextMessage, Message

from sessions.engine_neonize_binding import make_jid
from sessions.engine_neonize_client import Client
from sessions.engine_neonize_frames import Failure
from sessions.messages import GROUP_SERVER, OutgoingText, Sent

_MEANINGS: tuple[tuple[str, Failure], ...] = (
    ("no LID found", "not_on_whatsapp"),
    # A query is asked before the message is sent, so that these are certain.
    ("disconnected before info query", "not_connected"),
    ("status 429", "send_throttled"),
    ("status 503", "send_throttled"),
    ("websocket not connected", "not_connected"),
    ("client is nil", "not_connected"),
    ("doesn't contain a device", "not_connected"),
    ("not logged in", "not_connected"),
    ("without PushName", "no_name"),
    ("timed out", "send_uncertain"),
    ("disconnected before message send", "send_uncertain"),
    ("context deadline exceeded", "send_uncertain"),
)

_REFUSED = re.compile(r"server returned error (\d+)")
"""The server's answer to the message itself: it did not take it."""

_REFUSALS: dict[int, Failure] = {
    429: "send_throttled",
    463: "reach_out_locked",
    # Its own trouble, somewhere on the message's way.
    500: "send_uncertain",
    503: "send_throttled",
}


def meaning(text: str) -> Failure:
    """Return what the text of an error means that the library raised."""
    if refused := _REFUSED.search(text):
        return _REFUSALS.get(int(refused[1]), "send_failed")
    return next((failure for sign, failure in _MEANINGS if sign in text), "send_failed")


def build(message: OutgoingText) -> Message:
    """Return the message for WhatsApp: never a plain string, which the library would search for
    mentions and links and look those up.
    """
    if message.quoted_message_id is None:
        return Message(conversation=message.text)
    context = ContextInfo(stanzaID=message.quoted_message_id, quotedMessage=Message())
    if not message.to.endswith(f"@{GROUP_SERVER}"):
        context.participant = message.to
    return Message(extendedTextMessage=ExtendedTextMessage(text=message.text, contextInfo=context))


def send(client: Client, message: OutgoingText) -> Sent:
    """Send and wait for WhatsApp's answer, which takes up to 75 s.

    Raises:
        SendMessageError: see `meaning`.
        NotRunning: there is no client.
    """
    user, _, server = message.to.partition("@")
    with client.using() as library:
        answer = library.send_message(make_jid(user, server), build(message))
    phone, lid = _names(client, user, server)
    return Sent(whatsapp_id=answer.ID, timestamp_ms=answer.Timestamp * 1000, phone=phone, lid=lid)


def _names(client: Client, user: str, server: str) -> tuple[Any, Any]:
    match server:
        case "s.whatsapp.net":
            return user, client.lid_of(user)
        case "lid":
            return client.phone_of(user), user
        case _:
            return None, None
