"""Older messages, as a phone hands them to a newly linked device, in bounded batches.

What they are named by must be what live messages are named by: that is how those that are known
already are found. Knows field names, not the library.
"""

from collections.abc import Iterator
from typing import Any

from sessions.engine_neonize_directory import Directory
from sessions.engine_neonize_messages import milliseconds, read_content
from sessions.messages import GROUP_SERVER, LID_SERVER, PHONE_SERVER, EngineMessage
from sessions.signals import HistoryReceived

BATCH_MESSAGES = 100
"""A batch is one transaction of the server, and everything else waits for it."""
BATCH_CHARACTERS = 200_000

_NO_CONTENT = frozenset({"unknown", "revoked"})
"""What can't be shown is news when it happens; years later it is nothing."""


def read_history(history: Any, directory: Directory) -> Iterator[HistoryReceived]:
    """Yield what a `HistorySync` holds, each chat from its oldest message to its newest."""
    batch: list[EngineMessage] = []
    characters = 0
    for message in _Reader(history, directory).messages():
        batch.append(message)
        characters += len(message.text or "")
        if len(batch) >= BATCH_MESSAGES or characters >= BATCH_CHARACTERS:
            yield HistoryReceived(messages=tuple(batch))
            batch, characters = [], 0
    if batch:
        yield HistoryReceived(messages=tuple(batch))


class _Reader:
    """Reads one `HistorySync`, with the names that it brings itself."""

    def __init__(self, history: Any, directory: Directory) -> None:
        self._conversations = history.conversations
        self._directory = directory
        self._phones: dict[str, str | None] = {}
        self._lids: dict[str, str] = {}
        for pair in history.phoneNumberToLidMappings:
            self._learn(pair.pnJID, pair.lidJID)
        for chat in history.conversations:
            self._learn(chat.pnJID, chat.lidJID)
        self._push_names = {_split(one.ID)[0]: one.pushname for one in history.pushnames}

    def messages(self) -> Iterator[EngineMessage]:
        """Yield what a person would see in the chats; a phone sends the newest first."""
        if not self._conversations:
            return
        account = self._directory.account()
        for chat in self._conversations:
            for entry in reversed(chat.messages):
                message = self._message(chat.ID, entry.message, f"{account.phone}@{PHONE_SERVER}")
                if message is not None:
                    yield message

    def _message(self, chat: str, told: Any, own_jid: str) -> EngineMessage | None:
        content = read_content(told.message)
        is_group, from_me = chat.endswith(f"@{GROUP_SERVER}"), told.key.fromMe
        author = (told.participant or told.key.participant) if is_group else chat
        if content is None or content.type in _NO_CONTENT or not self._is_complete(chat, told):
            return None
        if not from_me and not self._is_chat(author):
            return None
        other = None if is_group and from_me else author
        phone, lid = self._names(other) if other else (None, None)
        return EngineMessage(
            whatsapp_id=told.key.ID,
            chat=chat if is_group else self._name(chat),
            sender=own_jid if from_me else self._name(author),
            phone=phone,
            lid=lid,
            from_me=from_me,
            is_group=is_group,
            push_name=None if from_me else told.pushName or self._push_name(author),
            type=content.type,
            text=content.text,
            media=content.media,
            quoted_message_id=content.quoted,
            timestamp_ms=milliseconds(told.messageTimestamp),
        )

    def _is_complete(self, chat: str, told: Any) -> bool:
        # Without its time an old message would be stored as the newest of all.
        return bool(told.key.ID and told.messageTimestamp) and self._is_chat(chat)

    def _is_chat(self, jid: str) -> bool:
        return _split(jid)[1] in {PHONE_SERVER, LID_SERVER, GROUP_SERVER}

    def _learn(self, phone_jid: str, lid_jid: str) -> None:
        phone, lid = _split(phone_jid)[0], _split(lid_jid)[0]
        if phone and lid:
            self._phones[lid], self._lids[phone] = phone, lid

    def _names(self, jid: str) -> tuple[str | None, str | None]:
        user, server = _split(jid)
        if server != LID_SERVER:
            return user, self._lids.get(user)
        if user not in self._phones:
            self._phones[user] = self._directory.phone_of(user)
        return self._phones[user], user

    def _name(self, jid: str) -> str:
        phone, lid = self._names(jid)
        return f"{phone}@{PHONE_SERVER}" if phone else f"{lid}@{LID_SERVER}"

    def _push_name(self, jid: str) -> str | None:
        told = (self._push_names.get(name) for name in self._names(jid) if name)
        return next((name for name in told if name), None)


def _split(jid: str) -> tuple[str, str]:
    """Return user and server of a JID, which may name a device: `1555:3@…`, `1555.0:3@…`."""
    user, _, server = jid.partition("@")
    return user.partition(":")[0].partition(".")[0], server
