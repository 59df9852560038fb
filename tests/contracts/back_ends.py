"""The other ends of bridges: each takes events, and can be out of reach for a while."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from gateway.bridge import Bridge
from gateway.bridge_bullmq_library import QueueNames
from gateway.bridge_bullmq_queues import BullMqQueues
from gateway.bridge_chatbot import ChatbotBridge
from gateway.bridge_rabbitmq_topology import Topology
from gateway.bridge_rabbitmq_worker import RabbitMqWorker
from gateway.pump import Pump
from gateway.webhook_client import WebhookClient
from gateway.webhooks import Webhooks
from sessions.clock import SystemClock
from tests.bridges.chatbot_backend import KEY, ChatbotBackEnd
from tests.bridges.node_backend import worker
from tests.bridges.rabbitmq_site import is_up
from tests.bridges.spring_backend import SpringBackEnd
from tests.contracts.tcp_proxy import TcpProxy
from tests.gateway.receiver import receiving
from tests.sessions.house import TENANT, House

PHONE = "221771234567"
NAME = f"session_6_+{PHONE}"
"""A session that every back end has a word for."""


class BridgePump(Pump):
    """A pump that shows the bridge that was added."""

    bridge: Bridge

    def add(self, bridge: Bridge) -> None:
        """Serve it."""
        super().add(bridge)
        self.bridge = bridge


@dataclass(frozen=True)
class BackEnd:
    """Who is at a bridge's other end; all that passes between them passes the proxy."""

    proxy: TcpProxy
    messages: Callable[[], list[tuple[str | None, str]]]
    """Returns id and text of each message from WhatsApp as it came, copies too."""


@asynccontextmanager
async def webhook(house: House, pump: BridgePump) -> AsyncIterator[BackEnd]:
    """An endpoint of the tenant."""
    client = WebhookClient(allow_http=True, allow_private=True)
    webhooks = Webhooks(house.store, house.bus, pump, client, SystemClock())
    async with receiving() as receiver, TcpProxy.to(receiver.port) as proxy:

        def messages() -> list[tuple[str | None, str]]:
            posts = [post for post in receiver.posts if post.event["type"] == "session:message"]
            return [(post.headers["webhook-id"], _text(post.event)) for post in posts]

        url = f"http://127.0.0.1:{proxy.port}/hook"
        await webhooks.create(TENANT, url=url, events=["*"], session=None)
        yield BackEnd(proxy, messages)
        await webhooks.close()


@asynccontextmanager
async def rabbitmq(
    house: House, pump: BridgePump, url: str, topology: Topology
) -> AsyncIterator[BackEnd]:
    """A back end that commands this gateway as its worker."""
    parts, clock = urlsplit(url), SystemClock()
    user = parts.netloc.rpartition("@")[0]
    prefix = topology.exchange.removesuffix("whatsapp.exchange")
    async with (
        SpringBackEnd.running(url, prefix=prefix) as backend,
        TcpProxy.to(parts.port or 5672) as proxy,
    ):
        through = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}"))
        worker = RabbitMqWorker(house.manager, TENANT, url=through, topology=topology, clock=clock)
        pump.add(worker.bridge)
        async with running(worker.run):
            await is_up(worker)
            yield BackEnd(
                proxy,
                lambda: [(word.message_id, _text(word.body)) for word in backend.received()],
            )


@asynccontextmanager
async def chatbot(house: House, pump: BridgePump) -> AsyncIterator[BackEnd]:
    """A chatbot back end that is told by POST."""
    async with ChatbotBackEnd().up() as backend, TcpProxy.to(backend.port) as proxy:

        def messages() -> list[tuple[str | None, str]]:
            posts = [post for post in backend.posts if post.path == "incoming"]
            return [(post.id, post.body["message"]) for post in posts]

        url = backend.url.replace(str(backend.port), str(proxy.port))
        bridge = ChatbotBridge(house.manager, TENANT, SystemClock(), url=url, key=KEY)
        pump.add(bridge)
        async with running(bridge.run):
            yield BackEnd(proxy, messages)


@asynccontextmanager
async def bullmq(
    house: House, pump: BridgePump, url: str, prefix: str, *_: object
) -> AsyncIterator[BackEnd]:
    """A back end on Node that takes jobs from a queue."""
    parts = urlsplit(url)
    names = QueueNames(url, prefix=f"{prefix}bull")
    async with worker("6", names) as backend, TcpProxy.to(parts.port or 6379) as proxy:
        through = urlunsplit(parts._replace(netloc=f"127.0.0.1:{proxy.port}"))
        # In a thread: the library reads its scripts from files.
        queues = await asyncio.to_thread(
            BullMqQueues, house.manager, TENANT, replace(names, url=through)
        )
        pump.add(queues.bridge)
        async with running(queues.run):
            yield BackEnd(
                proxy,
                lambda: [(job["id"], job["data"]["message"]) for job in backend.heard("job")],
            )


BACK_ENDS: dict[str, tuple[Callable[..., AbstractAsyncContextManager[BackEnd]], list[str]]] = {
    "webhook": (webhook, []),
    "chatbot": (chatbot, []),
    "rabbitmq": (rabbitmq, ["rabbitmq_url", "topology"]),
    "bullmq": (bullmq, ["redis_url", "redis_prefix", "redis", "node"]),
}
"""Each bridge's other end and the fixtures it needs; a new bridge adds its own, for every test."""


@contextlib.asynccontextmanager
async def running(run: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run something in the background until the block is left."""
    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=10)
    assert task.cancelled()


def _text(event: dict[str, dict[str, str]]) -> str:
    return event["message"]["message"]
