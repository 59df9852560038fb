"""One session of the real neonize, run as a process by the tests: JSON lines in and out.

`python -m tests.loopback_whatsapp.neonize_session DATABASE`; commands are {"do": ..., ...}.
"""

import json
import os
import sys
import threading
import traceback
from typing import Any

# The Go library prints to descriptor 1; so our lines leave by a copy of it, and 1 becomes stderr.
LINES = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

import pylibmagic  # noqa: E402, F401  # makes libmagic loadable, without which neonize does not import
from neonize import events  # noqa: E402
from neonize.client import NewClient  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402
from neonize.utils import build_jid  # noqa: E402
from neonize.utils.enum import (  # noqa: E402
    ChatPresence,
    ChatPresenceMedia,
    Presence,
    ReceiptType,
)

_lock = threading.Lock()


def say(event: str, **fields: Any) -> None:
    """Tell the test something; events come from several threads."""
    with _lock:
        LINES.write(json.dumps({"event": event, **fields}) + "\n")


def describe(event: Any) -> dict[str, Any]:
    """What the tests look at in an event."""
    match event:
        case events.MessageEv():
            source = event.Info.MessageSource
            return {
                "id": event.Info.ID,
                "sender": source.SenderAlt.User,
                "chat": f"{source.Chat.User}@{source.Chat.Server}",
                "from_me": source.IsFromMe,
                "text": event.Message.conversation or event.Message.extendedTextMessage.text,
            }
        case events.ReceiptEv():
            return {"ids": list(event.MessageIDs), "type": event.ReceiptType.Name(event.Type)}
        case events.HistorySyncEv():
            conversations = [_conversation(one) for one in event.Data.conversations]
            kind = event.Data.HistorySyncType.Name(event.Data.syncType)
            return {"type": kind, "conversations": conversations}
    return {"body": str(event).replace("\n", " ")}


def _conversation(conversation: Any) -> dict[str, Any]:
    messages = [item.message for item in conversation.messages]
    return {
        "chat": conversation.ID,
        "phone": conversation.pnJID,
        "name": conversation.name,
        "unread": conversation.unreadCount,
        "messages": [
            {
                "id": message.key.ID,
                "from_me": message.key.fromMe,
                "text": message.message.conversation,
                "timestamp_seconds": message.messageTimestamp,
            }
            for message in messages
        ],
    }


class Session:
    """A client, and the commands for it."""

    def __init__(self, database: str) -> None:
        self.client = NewClient(database)
        self.client.qr(lambda _, code: say("qr", code=code.decode()))
        for name in dir(events):
            if name.lower().endswith("ev") and isinstance(getattr(events, name), type):
                self._listen(name, getattr(events, name))

    def _listen(self, name: str, kind: type) -> None:
        self.client.event(kind)(lambda _, event: say(name[:-2], **describe(event)))

    def run(self) -> None:
        """Connect; read commands meanwhile; end with the input."""
        threading.Thread(target=self._read_commands, daemon=True).start()
        try:
            self.client.connect()
        finally:
            say("connect-returned")

    def _read_commands(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                say("done", result=self._do(**command))
            except Exception as error:  # noqa: BLE001  # the test reads what has gone wrong
                traceback.print_exc()
                say("failed", reason=str(error))
        # An unpaired client's connect() never returns, and its thread would keep the process.
        os._exit(0)

    def _do(self, do: str, **arguments: Any) -> Any:
        match do:
            case "send":
                message = Message(conversation=arguments["text"])
                server = arguments.get("server", "s.whatsapp.net")
                return self.client.send_message(build_jid(arguments["to"], server), message).ID
            case "mark_read":
                chat = build_jid(arguments["chat"], arguments.get("server", "s.whatsapp.net"))
                sender = build_jid(arguments.get("sender", arguments["chat"]))
                ids, kind = arguments["ids"], ReceiptType.READ
                return self.client.mark_read(*ids, chat=chat, sender=sender, receipt=kind)
            case "presence":
                return self.client.send_presence(Presence[arguments["state"]])
            case "chat_presence":
                to, media = build_jid(arguments["to"]), arguments.get("media", "TEXT")
                return self.client.send_chat_presence(
                    to,
                    ChatPresence[f"CHAT_PRESENCE_{arguments['state']}"],
                    ChatPresenceMedia[f"CHAT_PRESENCE_MEDIA_{media}"],
                )
            case "pair_by_code":
                return self.client.PairPhone(arguments["phone"], show_push_notification=True)
            case "logout":
                return self.client.logout()
        raise ValueError(f"unknown command {do}")


if __name__ == "__main__":
    Session(sys.argv[1]).run()
