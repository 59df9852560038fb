"""Row 42: tokens that end, are revoked, or lose their key while their owner is connected.

Tokens are an identity provider's; the server knows its keys by their URL only.
"""

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.acceptance.gateway_process import GatewayProcess
from tests.auth import keyring
from tests.auth.identity_provider import Provider, jwk, running_provider
from tests.faults.traffic import eventually

pytestmark = pytest.mark.timeout(180)

NAMESPACE = "/ws"
COOLDOWN_SECONDS = 20
"""The server asks the provider at most every 10 s."""
_ids = itertools.count(1)


@pytest.fixture(scope="module")
def first() -> RSAPrivateKey:
    return keyring.rsa_key()


@pytest.fixture(scope="module")
def second() -> RSAPrivateKey:
    return keyring.rsa_key()


@pytest.fixture
def provider(first: RSAPrivateKey) -> Iterator[Provider]:
    with running_provider() as provider:
        provider.keys = [jwk(first, kid="first")]
        yield provider


@pytest.fixture
async def gateway(tmp_path: Path, provider: Provider) -> AsyncIterator[GatewayProcess]:
    environment = {
        "WAGATE_JWT_ALGORITHM": "RS256",
        "WAGATE_JWT_JWKS_URL": provider.url,
        "WAGATE_JWT_JWKS_FRESH_SECONDS": "1",
    }
    async with GatewayProcess.running(
        tmp_path, engine="simulator", environment=environment
    ) as gateway:
        yield gateway


def signed(key: RSAPrivateKey, kid: str, *, seconds: float = 3600, **claims: Any) -> str:
    """Return a token of the tenant acme that lives for so long."""
    now = time.time()
    given = {"sub": "mia", "tenant": "acme", "iat": int(now), "exp": int(now + seconds), **claims}
    return keyring.signed(key, "RS256", kid, **{"jti": f"id-{next(_ids)}", **given})


class Page:
    """A client that follows the session `shop`, and remembers what it was told, and when."""

    def __init__(self) -> None:
        self.io = socketio.AsyncClient(reconnection=False)
        self.heard: list[tuple[str, Any, float]] = []
        self.io.on("*", self._hear, namespace=NAMESPACE)
        self.io.on("disconnect", self._end, namespace=NAMESPACE)

    @classmethod
    @asynccontextmanager
    async def following(cls, gateway: GatewayProcess, token: str) -> AsyncIterator["Page"]:
        """Connect, subscribe, and disconnect with the block."""
        page = cls()
        connected = {"auth": {"token": token}, "namespaces": [NAMESPACE]}
        await page.io.connect(gateway.url, transports=["websocket"], wait_timeout=15, **connected)
        try:
            answer = await page.ask("subscribe:session", {"sessionId": "shop"})
            assert answer["ok"] is True, answer
            yield page
        finally:
            await page.io.disconnect()

    async def ask(self, event: str, data: dict[str, Any]) -> Any:
        """Emit and return the answer."""
        return await self.io.call(event, data, namespace=NAMESPACE, timeout=15)

    async def refresh(self, token: str) -> str:
        """Go on with another token; return `ok` or the code of the refusal."""
        answer = await self.ask("auth:refresh", {"token": token})
        return "ok" if answer["ok"] else str(answer["error"]["code"])

    def names(self) -> list[str]:
        """Return the names of what was heard, in order."""
        return [name for name, _, _ in self.heard]

    async def ended(self, *, seconds: float) -> tuple[str, float]:
        """Wait until the server has ended it; return the reason that it gave, and the moment."""
        await until(lambda: "disconnect" in self.names(), "the server ends it", seconds=seconds)
        (name, body, _), (last, _, moment) = self.heard[-2:]
        assert (name, last, body["ok"]) == ("error", "disconnect", False)
        return str(body["error"]["code"]), moment

    async def _hear(self, name: str, body: Any) -> None:
        self.heard.append((name, body, time.time()))

    async def _end(self, reason: str) -> None:
        self.heard.append(("disconnect", reason, time.time()))


async def until(holds: Any, what: str, *, seconds: float = 15) -> None:
    """Look until something holds."""

    async def look() -> bool:
        return bool(holds())

    await eventually(look, bool, what, seconds=seconds)


async def call(
    gateway: GatewayProcess, token: str, path: str = "/whatsapp", body: Any = None
) -> httpx.Response:
    """Call REST: with a body POST, else GET."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as http:
        headers = {"Authorization": f"Bearer {token}"}
        method = "GET" if body is None else "POST"
        return await http.request(method, path, json=body, headers=headers)


async def code(gateway: GatewayProcess, token: str) -> str:
    """Return `ok`, or the code with which REST refuses a token."""
    answer = await call(gateway, token)
    return "ok" if answer.status_code == 200 else str(answer.json()["code"])


async def refused(gateway: GatewayProcess, token: str) -> str:
    """Return the code with which a handshake is refused."""
    io = socketio.AsyncClient(reconnection=False)
    codes: list[str] = []
    io.on("connect_error", lambda body: codes.append(body["code"]), namespace=NAMESPACE)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await io.connect(gateway.url, auth={"token": token}, namespaces=[NAMESPACE])
    await io.disconnect()
    return codes[0]


async def make_shop(gateway: GatewayProcess, token: str) -> None:
    """Create the session that pages follow."""
    answer = await call(gateway, token, "/whatsapp", {"sessionId": "shop"})
    assert answer.status_code == 201, answer.text


async def happens(gateway: GatewayProcess, token: str, *witnesses: Page) -> None:
    """Let something happen to the session, and wait until each witness has heard of it."""
    before = [page.names().count("session:stopped") for page in witnesses]
    for step in ("activate", "deactivate"):
        assert (await call(gateway, token, f"/whatsapp/shop/{step}", {})).status_code in {200, 202}
    for page, count in zip(witnesses, before, strict=True):
        await until(
            lambda page=page, count=count: page.names().count("session:stopped") > count,
            "the event is heard",
        )


async def test_a_token_that_ends_ends_its_connection_unless_it_was_refreshed(
    gateway: GatewayProcess, first: RSAPrivateKey
) -> None:
    owner = signed(first, "first", scope="admin")
    await make_shop(gateway, owner)
    ends_at = int(time.time()) + 8
    short = signed(first, "first", exp=ends_at)
    async with (
        Page.following(gateway, short) as leaving,
        Page.following(gateway, short) as staying,
    ):
        for page in (leaving, staying):
            await until(lambda page=page: "auth:expiring" in page.names(), "it is announced")
        assert await staying.refresh(signed(first, "first")) == "ok"
        reason, moment = await leaving.ended(seconds=20)
        assert reason == "token_expired"
        assert ends_at - 0.5 <= moment <= ends_at + 5
        await happens(gateway, owner, staying)
    assert "session:stopped" not in leaving.names()
    assert "disconnect" not in staying.names()[:-1]
    assert await refused(gateway, short) == "token_expired"


async def test_a_revoked_token_is_refused_at_once_and_its_connection_ends(
    gateway: GatewayProcess, first: RSAPrivateKey
) -> None:
    owner = signed(first, "first", sub="boss", scope="admin")
    await make_shop(gateway, owner)
    lost, other = signed(first, "first", jti="lost"), signed(first, "first", sub="tom")
    async with (
        Page.following(gateway, lost) as leaving,
        Page.following(gateway, other) as staying,
    ):
        answer = await call(gateway, owner, "/auth/revocations", {"tokenId": "lost"})
        assert answer.status_code == 201
        revoked_at = time.time()
        assert await code(gateway, lost) == "token_revoked"
        assert await staying.refresh(lost) == "token_revoked"
        reason, moment = await leaving.ended(seconds=10)
        assert reason == "token_revoked"
        assert moment <= revoked_at + 2.5
        await happens(gateway, owner, staying)
        await call(gateway, owner, "/auth/revocations", {"subject": "tom"})
        reason, _ = await staying.ended(seconds=10)
        assert reason == "token_revoked"
    assert "session:stopped" not in leaving.names()
    await gateway.kill()
    await gateway.start()
    for token in (lost, other):
        assert await code(gateway, token) == "token_revoked"
        assert await refused(gateway, token) == "token_revoked"
    assert await code(gateway, owner) == "ok"


async def test_a_rotated_key_disturbs_nobody_who_is_in_and_the_new_one_opens(
    gateway: GatewayProcess, provider: Provider, first: RSAPrivateKey, second: RSAPrivateKey
) -> None:
    older = signed(first, "first", scope="admin")
    await make_shop(gateway, older)
    async with Page.following(gateway, older) as page:
        provider.keys = [jwk(second, kid="second")]
        newer = signed(second, "second", scope="admin")
        await eventually(
            lambda: page.refresh(newer), lambda found: found == "ok", "it goes on", seconds=20
        )
        assert await code(gateway, newer) == "ok"
        await eventually(
            lambda: code(gateway, older),
            lambda found: found == "invalid_token",
            "the key that was removed opens nothing",
            seconds=COOLDOWN_SECONDS,
        )
        await happens(gateway, newer, page)
        assert "disconnect" not in page.names()


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_while_keys_can_not_be_fetched_known_ones_work_and_connections_end_in_time(
    gateway: GatewayProcess,
    provider: Provider,
    first: RSAPrivateKey,
    second: RSAPrivateKey,
    fault: str,
) -> None:
    owner = signed(first, "first", scope="admin")
    await make_shop(gateway, owner)
    ends_at = int(time.time()) + 25
    async with Page.following(gateway, signed(first, "first", exp=ends_at)) as page:
        break_down(provider, fault)
        asked = provider.asked
        while provider.asked < asked + 1:
            assert time.time() < ends_at, "the keys are not fetched again"
            assert await code(gateway, owner) == "ok"
        unknown = signed(second, "second")
        answer = await call(gateway, unknown)
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert await refused(gateway, unknown) == "keys_unavailable"
        assert await page.refresh(unknown) == "keys_unavailable"
        await happens(gateway, owner, page)
        reason, moment = await page.ended(seconds=40)
        assert reason == "token_expired"
        assert ends_at - 0.5 <= moment <= ends_at + 5
    async with Page.following(gateway, signed(first, "first")):
        mend(provider, second)
        await eventually(
            lambda: code(gateway, unknown),
            lambda found: found == "ok",
            "the new key opens",
            seconds=COOLDOWN_SECONDS,
        )


def break_down(provider: Provider, fault: str) -> None:
    """Let the provider answer with errors, or not at all."""
    if fault == "hangs":
        provider.release.clear()
    else:
        provider.status = 500


def mend(provider: Provider, key: RSAPrivateKey) -> None:
    """Let the provider answer again, with one more key."""
    provider.keys = [*provider.keys, jwk(key, kid="second")]
    provider.status = 200
    provider.release.set()
