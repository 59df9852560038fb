"""Fifty sessions on the loopback WhatsApp: pairing, messages, `kill -9`, return; and what it costs.

`python -m tests.benchmarks.fifty_sessions [--sessions 50] [--messages 10]` prints one JSON object
and exits 1 when a message was lost, came twice or out of order, or a session did not come back.
Times are of this machine and this run; PSS is what the processes share counted once (Linux).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.acceptance.gateway_process import GatewayProcess
from tests.loopback_whatsapp.client import LoopbackWhatsApp

FRIEND = "447700900123"
_WAIT_SECONDS = 120.0
_IDLE_SECONDS = 20.0


@dataclass
class Bench:
    """One gateway, one WhatsApp, and what was measured."""

    gateway: GatewayProcess
    whatsapp: LoopbackWhatsApp
    http: httpx.AsyncClient
    names: list[str]
    figures: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def phone(self, name: str) -> str:
        """Return the number of a session's account."""
        return f"1555{self.names.index(name):07}"

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the gateway; an answer that is no success ends the run."""
        answer = await self.http.request(method, path, **arguments)
        answer.raise_for_status()
        return answer.json()

    async def pair(self, name: str) -> float:
        """Create, activate and scan; return the seconds until the QR code was there."""
        await self.call("POST", "/whatsapp", json={"sessionId": name})
        started = time.monotonic()
        await self.call("POST", f"/whatsapp/{name}/activate")
        code = await self.qr(name)
        qr_seconds = time.monotonic() - started
        await self.whatsapp.scan(code, self.phone(name), name)
        return qr_seconds

    async def qr(self, name: str) -> str:
        """Wait for the session's code."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            answer = await self.http.get(f"/whatsapp/{name}/qr", params={"format": "raw"})
            if answer.status_code == 200:
                return answer.text
            await asyncio.sleep(0.02)
        message = f"{name} shows no code"
        raise TimeoutError(message)

    async def all_connected(self) -> float:
        """Wait until every session is connected; return the seconds."""

        async def connected() -> int:
            query = {"status": "CONNECTED", "limit": 1}
            return int((await self.call("GET", "/whatsapp", params=query))["total"])

        return await self.reach(connected, len(self.names), "connected sessions")

    async def texts(self, name: str) -> list[str]:
        """Return the texts that a session's event log has, in order."""
        after: str | None = None
        texts: list[str] = []
        while True:
            query = {"limit": 200, **({"after": after} if after else {})}
            page = await self.call("GET", f"/whatsapp/{name}/events", params=query)
            if not page["items"]:
                return texts
            texts += [
                e["message"]["message"] for e in page["items"] if e["type"] == "session:message"
            ]
            after = page["cursor"]

    async def write(self, label: str, messages: int) -> float:
        """Let the friend write to every session; return the seconds until all is in the logs."""

        async def one(name: str) -> None:
            for number in range(messages):
                text = f"{label} {number}"
                await self.whatsapp.send_text(sender=FRIEND, to=self.phone(name), text=text)

        started = time.monotonic()
        await asyncio.gather(*(one(name) for name in self.names))
        return time.monotonic() - started

    async def arrived(self, labels: list[str], messages: int) -> float:
        """Wait until every session has every message; note what is not as it was written."""
        wanted = [f"{label} {number}" for label in labels for number in range(messages)]

        async def whole() -> int:
            found = await asyncio.gather(*(self.texts(name) for name in self.names))
            return sum(len(texts) >= len(wanted) for texts in found)

        seconds = await self.reach(whole, len(self.names), "sessions with all messages")
        for name in self.names:
            if await self.texts(name) != wanted:
                self.faults.append(f"{name}: {await self.texts(name)}")
        return seconds

    async def reach(self, look: Callable[[], Awaitable[int]], wanted: int, what: str) -> float:
        """Wait until a count is reached; note it if it never is. Return the seconds."""
        started = time.monotonic()
        while (found := await look()) < wanted:
            if time.monotonic() - started > _WAIT_SECONDS:
                self.faults.append(f"{what}: {found} of {wanted}")
                break
            await asyncio.sleep(0.1)
        return time.monotonic() - started

    def pss_mb(self) -> float:
        """Return the memory of the gateway and all its engine processes, in MB."""
        server = psutil.Process(self.gateway.process.pid)
        processes = [server, *server.children(recursive=True)]
        return sum(process.memory_full_info().pss for process in processes) / 1e6

    def note(self, figure: str, value: float) -> None:
        """Keep a figure, rounded to what it is worth."""
        self.figures[figure] = round(value, 2)


async def measure(bench: Bench, messages: int) -> None:
    """Run the whole story."""
    bench.note("empty_pss_mb", bench.pss_mb())
    started = time.monotonic()
    qr_seconds = [await bench.pair(name) for name in bench.names]
    await bench.all_connected()
    bench.note("first_qr_seconds", qr_seconds[0])
    bench.note("qr_seconds_median", sorted(qr_seconds)[len(qr_seconds) // 2])
    bench.note("qr_seconds_max", max(qr_seconds))
    bench.note("pair_all_seconds", time.monotonic() - started)
    await bench.write("before", messages)
    bench.note("messages_arrived_after_seconds", await bench.arrived(["before"], messages))
    await asyncio.sleep(_IDLE_SECONDS)
    bench.note("connected_pss_mb", bench.pss_mb())
    bench.note("pss_per_session_mb", bench.figures["connected_pss_mb"] / len(bench.names))
    bench.figures["processes"] = 1 + len(bench.gateway.workers())
    await bench.gateway.kill()
    await bench.write("away", messages)
    started = time.monotonic()
    await bench.gateway.start()
    bench.note("ready_again_seconds", time.monotonic() - started)
    await bench.all_connected()
    bench.note("all_connected_again_seconds", time.monotonic() - started)
    await bench.arrived(["before", "away"], messages)
    bench.note("all_arrived_again_seconds", time.monotonic() - started)


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Fifty sessions on the loopback WhatsApp.")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--messages", type=int, default=10)
    options = parser.parse_args()
    names = [f"s{number:02}" for number in range(options.sessions)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with (
            LoopbackWhatsApp.start(directory / "whatsapp") as whatsapp,
            GatewayProcess.running(
                directory, engine="neonize", environment=whatsapp.environment
            ) as gateway,
            httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as http,
        ):
            http.headers["Authorization"] = f"Bearer {await gateway.token()}"
            bench = Bench(gateway, whatsapp, http, names)
            await measure(bench, options.messages)
            await gateway.stop()
    print(json.dumps({**bench.figures, "faults": bench.faults}, indent=1))  # noqa: T201 - its result
    return 1 if bench.faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
