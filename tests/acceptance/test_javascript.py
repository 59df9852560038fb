"""The stock JavaScript client from npm, unchanged, on each of its transports."""

import asyncio
import json
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.phones import World

JAVASCRIPT = Path(__file__).parent / "javascript"
WAIT_SECONDS = 15.0
INSTALL_SECONDS = 90.0

pytestmark = pytest.mark.timeout(150)


class JavascriptClient:
    """A node process; what it prints, in order."""

    def __init__(self, output: asyncio.StreamReader, commands: asyncio.StreamWriter) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._output = output
        self._commands = commands

    def close_engine(self) -> None:
        """Have it lose its connection, if it is recovering.mjs."""
        self._commands.write(b"close\n")

    def stall(self) -> None:
        """Have it do nothing for 4 s, not even read, if it is recovering.mjs."""
        self._commands.write(b"stall\n")

    def recovered(self) -> list[bool]:
        """Return of each connect whether the client's state was recovered."""
        return [payload["recovered"] for name, payload in self.seen if name == "connect"]

    def numbers(self, session: str) -> list[int]:
        """Return the numbers of a session's durable events, in the order of arrival."""
        return [
            payload["seq"]
            for _, payload in self.seen
            if payload.get("sessionId") == session and "seq" in payload
        ]

    async def sees(self, name: str, count: int = 1) -> Any:
        """Wait until it has seen so many of these; return the last one's payload."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found = [payload for seen, payload in self.seen if seen == name]
                if len(found) >= count:
                    return found[count - 1]
                line = await self._output.readline()
                assert line, f"the client has ended; it saw {self.seen}"
                seen, payload = json.loads(line)
                self.seen.append((seen, payload))


@pytest.fixture(scope="session")
def installed() -> None:
    """Install the client from npm; without a network that is a failure only in CI."""
    if (JAVASCRIPT / "node_modules" / "socket.io-client").is_dir():
        return
    reason = _installation_failure()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _installation_failure() -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    try:
        done = subprocess.run(
            [npm, "install"],
            cwd=JAVASCRIPT,
            capture_output=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"npm install took more than {INSTALL_SECONDS} s"
    if done.returncode == 0:
        return None
    return f"npm install failed: {done.stderr.decode(errors='replace')[-300:]}"


@asynccontextmanager
async def running_client(
    *arguments: str, script: str = "client.mjs"
) -> AsyncIterator[JavascriptClient]:
    """Run a script until the block is left."""
    process = await asyncio.create_subprocess_exec(
        "node", script, *arguments, cwd=JAVASCRIPT, stdin=PIPE, stdout=PIPE, limit=2**22
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield JavascriptClient(process.stdout, process.stdin)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("transports", ["", "polling", "websocket"])
async def test_the_stock_client_sees_the_login_and_every_message(
    simulated_world: World, transports: str
) -> None:
    world = simulated_world
    token = await world.gateway.token()
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await frontend.create("support")
        async with running_client(world.gateway.url, token, "support", transports) as client:
            assert (await client.sees("answer"))["ok"] is True
            await frontend.call("POST", "/whatsapp/support/activate", expect=202)
            qr = await client.sees("qr")
            await phone.scan(qr["code"])
            await client.sees("session:connected")
            if not transports:
                assert (await client.sees("open"))["transport"] == "polling"
                assert (await client.sees("upgrade"))["transport"] == "websocket"
            path = "/simulator/support/messages"
            await frontend.call("POST", path, expect=201, text="number", count=200)
            await client.sees("session:message", 200)
    texts = [body["message"]["message"] for name, body in client.seen if name == "session:message"]
    assert texts == [f"number {number}" for number in range(1, 201)]
    numbers = [body["seq"] for _, body in client.seen if "seq" in body]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("transports", ["", "polling", "websocket"])
async def test_a_refused_handshake_tells_the_stock_client_why(
    simulated_world: World, transports: str
) -> None:
    url = simulated_world.gateway.url
    async with running_client(url, "not a token", "support", transports) as client:
        error = await client.sees("connect_error")
    assert error["data"].keys() == {"code", "message"}
    assert error["data"]["code"] == "invalid_token"
    assert error["message"] == error["data"]["message"]


@pytest.mark.usefixtures("installed")
async def test_the_stock_client_comes_back_by_itself_and_misses_nothing(
    simulated_world: World,
) -> None:
    world = simulated_world
    token = await world.gateway.token()
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await frontend.create("support")
        async with running_client(world.gateway.url, token, "support") as client:
            await client.sees("answer")
            await frontend.call("POST", "/whatsapp/support/activate", expect=202)
            await phone.scan((await client.sees("qr"))["code"])
            await client.sees("session:connected")
            await world.gateway.stop()
            assert (await client.sees("disconnect"))["reason"] != "io server disconnect"
            await world.gateway.start()
            assert (await client.sees("answer", 2))["recovered"] is True
            await client.sees("session:connected", 2)
    numbers = [body["seq"] for _, body in client.seen if "seq" in body]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("transports", ["", "polling", "websocket"])
async def test_the_stock_client_recovers_its_state_from_each_of_five_cuts(
    simulated_world: World, transports: str
) -> None:
    world = simulated_world
    async with world.frontend() as frontend, recovering_client(world, frontend, transports) as js:
        writing = asyncio.create_task(write_to(frontend, "one", "two", count=20, rounds=12))
        for cut in range(1, 6):
            await js.sees("session:message", 40 * cut)
            js.close_engine()
            await js.sees("connect", cut + 1)
        await writing
        await js.sees("session:message", 480)
    assert js.recovered() == [False, True, True, True, True, True]
    assert len([name for name, _ in js.seen if name == "subscribed"]) == 2
    for session in ("one", "two"):
        numbers = js.numbers(session)
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("transports", ["", "polling", "websocket"])
async def test_the_stock_client_recovers_its_state_from_another_server(
    simulated_world: World, transports: str, end: str
) -> None:
    world = simulated_world
    async with world.frontend() as frontend, recovering_client(world, frontend, transports) as js:
        await write_to(frontend, "one", "two", count=20, rounds=1)
        await js.sees("session:message", 40)
        await getattr(world.gateway, end)()
        assert (await js.sees("disconnect"))["reason"] != "io server disconnect"
        await world.gateway.start()
        await js.sees("connect", 2)
        await js.sees("session:connected", 4)
        await write_to(frontend, "one", "two", count=20, rounds=1)
        await js.sees("session:message", 80)
    assert js.recovered() == [False, True]
    assert len([name for name, _ in js.seen if name == "subscribed"]) == 2
    for session in ("one", "two"):
        numbers = js.numbers(session)
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.usefixtures("installed")
async def test_a_stock_client_that_stalls_reads_why_it_was_cut_and_recovers(
    simulated_world: World,
) -> None:
    world = simulated_world
    async with world.frontend() as frontend, recovering_client(world, frontend, "websocket") as js:
        # On a busy machine it may be back before so much waits for it.
        for attempt in range(1, 4):
            js.stall()
            await js.sees("stall", attempt)
            await write_to(frontend, "one", count=25, rounds=10, text="x" * 60_000)
            await js.sees("session:message", 250 * attempt)
            if ends := [payload for name, payload in js.seen if name == "disconnect"]:
                break
    assert (ends[0]["code"], ends[0]["why"]) == (4008, "slow_client")
    assert js.recovered()[:2] == [False, True]
    numbers = js.numbers("one")
    assert numbers == list(range(1, len(numbers) + 1))


@asynccontextmanager
async def recovering_client(
    world: World, frontend: Frontend, transports: str
) -> AsyncIterator[JavascriptClient]:
    """Run a client that follows two sessions from their first event on, both connected."""
    token = await world.gateway.token()
    for session in ("one", "two"):
        await frontend.create(session)
    arguments = (world.gateway.url, token, "one,two", transports)
    async with running_client(*arguments, script="recovering.mjs") as client:
        await client.sees("answer", 2)
        for session, number in (("one", "15550001111"), ("two", "15550002222")):
            phone = world.phone(frontend, session, number)
            await frontend.call("POST", f"/whatsapp/{session}/activate", expect=202)
            await phone.scan((await frontend.hears(session, "qr"))["code"])
        await client.sees("session:connected", 2)
        yield client


async def write_to(
    frontend: Frontend, *sessions: str, count: int, rounds: int, text: str = "number"
) -> None:
    """Have a friend write so many texts to each of the sessions, again and again."""
    for _ in range(rounds):
        for session in sessions:
            path = f"/simulator/{session}/messages"
            await frontend.call("POST", path, expect=201, text=text, count=count)
