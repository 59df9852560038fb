"""Groups and the questions about them."""

import secrets
from dataclasses import dataclass, field

from .account import Account, Directory
from .errors import NotFound
from .iq import Iq
from .node import GROUP_SERVER, Attributes, Jid, Node

CREATION_SECONDS = 1_700_000_000


@dataclass(slots=True)
class Group:
    """A group; its first member owns it."""

    jid: Jid
    subject: str
    members: list[Account] = field(default_factory=list)

    def node(self) -> Node:
        """How the server describes the group."""
        owner = self.members[0]
        attrs: Attributes = {
            "id": self.jid.user,
            "subject": self.subject,
            "creation": CREATION_SECONDS,
            "creator": owner.lid,
            "creator_pn": owner.pn,
            "s_t": CREATION_SECONDS,
            "s_o": owner.lid,
            "addressing_mode": "lid",
            "size": len(self.members),
        }
        return Node("group", attrs, [_participant(member, owner) for member in self.members])


def _participant(member: Account, owner: Account) -> Node:
    rank = "superadmin" if member is owner else None
    return Node("participant", {"jid": member.lid, "phone_number": member.pn, "type": rank})


class Groups:
    """All groups, by the user part of their address."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._groups: dict[str, Group] = {}

    def create(self, subject: str, members: list[Account]) -> Group:
        jid = Jid(f"1203630{secrets.randbelow(10**11):011}", GROUP_SERVER)
        group = self._groups[jid.user] = Group(jid, subject, members)
        return group

    def get(self, user: str) -> Group:
        if user not in self._groups:
            raise NotFound(f"There is no group {user}.")
        return self._groups[user]

    def answer(self, iq: Iq, asking: Account) -> None:
        """Answer an iq of the namespace w:g2."""
        match iq.body.tag:
            case "create":
                iq.result(self._created(iq.body, asking).node())
            case "participating":
                mine = [group for group in self._groups.values() if asking in group.members]
                iq.result(Node("groups", {}, [group.node() for group in mine]))
            case _:
                self._about_one(iq)

    def _about_one(self, iq: Iq) -> None:
        group = self._groups.get(iq.stanza.jid("to").user)
        if group is None:
            return iq.error(404, "item-not-found")
        if iq.body.tag == "query":
            return iq.result(group.node())
        if iq.body.tag == "subject":
            group.subject = iq.body.data.decode()
        return iq.result()

    def _created(self, body: Node, asking: Account) -> Group:
        invited = [
            self._directory.find(child.jid("jid"))
            for child in body.children
            if child.tag == "participant"
        ]
        members = [account for account in invited if account is not None]
        return self.create(body.text("subject"), [asking, *members])
