"""Questions (iq) of a companion that is logged in."""

from collections.abc import Callable

from . import phone, prekeys
from .account import Companion
from .app_state import AppState
from .iq import Iq
from .network import Network
from .node import SERVER, Attributes, Node
from .usync import describe_user

MEDIA_HOST = "mmg.whatsapp.net"
PRIVACY = ("groupadd", "last", "status", "profile", "readreceipts", "online", "calladd")


def answer(network: Network, companion: Companion, stanza: Node) -> None:
    """Answer a question; what is not known gets an empty result, which satisfies the library."""
    if companion.stream is None or stanza.text("type") not in ("get", "set"):
        return
    iq = Iq(companion.stream, stanza)
    namespace, _, subject = iq.subject
    handler = _ANSWERS.get((namespace, subject)) or _ANSWERS.get((namespace, "*"))
    if handler is None:
        iq.result()
    else:
        handler(network, companion, iq)


def _count_prekeys(_: Network, companion: Companion, iq: Iq) -> None:
    iq.result(Node("count", {"value": len(companion.prekeys)}))


def _hand_out_prekeys(network: Network, _: Companion, iq: Iq) -> None:
    prekeys.hand_out(iq, network.directory)


def _store_prekeys(_: Network, companion: Companion, iq: Iq) -> None:
    prekeys.store_upload(companion, iq.stanza)
    iq.result()


def _look_up_users(network: Network, _: Companion, iq: Iq) -> None:
    users = iq.body.child("list").children
    found = [describe_user(user, network.directory) for user in users]
    iq.result(Node("usync", {}, [Node("result"), Node("list", {}, found)]))


def _become_active(_: Network, companion: Companion, iq: Iq) -> None:
    iq.result()
    _deliver_queue(companion)
    phone.welcome(companion)


def _remove_itself(_: Network, companion: Companion, iq: Iq) -> None:
    iq.result()
    companion.account.companions.pop(companion.device, None)


def _answer_about_groups(network: Network, companion: Companion, iq: Iq) -> None:
    network.groups.answer(iq, companion.account)


def _tell_privacy(_: Network, __: Companion, iq: Iq) -> None:
    categories = [Node("category", {"name": name, "value": "all"}) for name in PRIVACY]
    iq.result(Node("privacy", {}, categories))


def _tell_media_host(_: Network, __: Companion, iq: Iq) -> None:
    attrs: Attributes = {"auth": "loopback", "ttl": 300, "auth_ttl": 3600, "max_buckets": 12}
    iq.result(Node("media_conn", attrs, [Node("host", {"hostname": MEDIA_HOST})]))


def _tell_settings(_: Network, companion: Companion, iq: Iq) -> None:
    """Answer with the patches that a companion has not seen; it cannot write any itself."""
    collections = iq.body.children
    if any(collection.find("patch") for collection in collections):
        return iq.error(501, "feature-not-implemented")
    answers = [_collection(asked, companion.account.app_state) for asked in collections]
    return iq.result(Node("sync", {}, answers))


def _collection(asked: Node, app_state: AppState | None) -> Node:
    name, version = asked.text("name"), int(asked.text("version") or 0)
    patches = app_state.patches_after(name, version) if app_state else []
    nodes = [Node("patch", {}, patch) for patch in patches]
    attrs: Attributes = {"name": name, "version": version + len(patches), "type": "result"}
    return Node("collection", attrs, [Node("patches", {}, nodes)])


def _deliver_queue(companion: Companion) -> None:
    """Send all that waits, between a preview and an end mark; from now on, nothing waits."""
    stream, waiting = companion.stream, list(companion.queue)
    if stream is None:
        return
    # Not earlier: before it is active, the library would report messages before it is connected.
    companion.active = True
    if waiting:
        stream.send(Node("ib", {"from": SERVER}, [_preview(waiting)]))
    for stanza in waiting:
        stream.send(stanza)
    stream.send(Node("ib", {"from": SERVER}, [Node("offline", {"count": len(waiting)})]))


def _preview(waiting: list[Node]) -> Node:
    tags = [stanza.tag for stanza in waiting]
    attrs: Attributes = {
        "count": len(waiting),
        "message": tags.count("message"),
        "receipt": tags.count("receipt"),
        "notification": 0,
        "appdata": 0,
    }
    return Node("offline_preview", attrs)


# By namespace and tag of the first child; "*" is any other.
_ANSWERS: dict[tuple[str, str], Callable[[Network, Companion, Iq], None]] = {
    ("encrypt", "count"): _count_prekeys,
    ("encrypt", "key"): _hand_out_prekeys,
    ("encrypt", "registration"): _store_prekeys,
    ("usync", "usync"): _look_up_users,
    ("passive", "active"): _become_active,
    ("md", "remove-companion-device"): _remove_itself,
    ("w:g2", "*"): _answer_about_groups,
    ("privacy", "privacy"): _tell_privacy,
    ("w:m", "*"): _tell_media_host,
    ("w:sync:app:state", "sync"): _tell_settings,
}
