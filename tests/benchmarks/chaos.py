"""Chaos: sessions on the loopback WhatsApp, messages both ways, and a fault every few seconds.

`scripts/chaos [--minutes N] [--sessions 20] [--seed S]` prints what became of every message and
exits 1 unless lost, duplicated and out of order are 0, as docs/guarantees.md promises. What the
library of a killed worker had acknowledged but not handed over is counted apart: not promised.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import httpx

from tests.acceptance.gateway_process import GatewayProcess
from tests.benchmarks.chaos_faults import Mischief
from tests.benchmarks.chaos_site import FRIEND, Account, Site, until
from tests.benchmarks.chaos_subscriber import Subscriber
from tests.contracts.tcp_proxy import TcpProxy
from tests.loopback_whatsapp.client import LoopbackWhatsApp

_GAP_SECONDS = (0.5, 2.5)
_REST_SECONDS = 900
"""For pairing before it, and for everything to come to rest behind it."""
_SENT = {"sent", "delivered", "read", "played"}
_BAD = ("lost", "duplicated", "out of order")
_FIGURES = ("sent", "received", *_BAD, "unknown")


@asynccontextmanager
async def running_site(directory: Path, sessions: int) -> AsyncIterator[Site]:
    """Start everything, with every session connected and followed."""
    async with (
        LoopbackWhatsApp.start(directory / "whatsapp") as whatsapp,
        GatewayProcess.running(
            directory / "gateway", engine="neonize", environment=whatsapp.environment
        ) as gateway,
        TcpProxy.to(int(gateway.url.rpartition(":")[2])) as proxy,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as http,
        asyncio.TaskGroup() as tasks,
    ):
        token = await gateway.token()
        http.headers["Authorization"] = f"Bearer {token}"
        await whatsapp.open_account(FRIEND, "Friend")
        site = Site(whatsapp, gateway, proxy, http)
        logging.disable(logging.ERROR)  # what clients say of connections that are meant to break
        try:
            for number in range(sessions):
                subscriber = Subscriber(f"http://127.0.0.1:{proxy.port}", token, f"s{number:02}")
                account = Account(f"s{number:02}", f"1555{number:07}", subscriber)
                site.accounts.append(account)
                await site.pair(account)
                tasks.create_task(subscriber.run())
            await site.all_connected()
            await _all_follow(site)
            yield site
        finally:
            for account in site.accounts:
                await account.subscriber.stop()


async def _all_follow(site: Site) -> None:
    async def following() -> int:
        return sum(account.subscriber.cursor is not None for account in site.accounts)

    await until(following, lambda found: found == len(site.accounts), "all are followed")


async def play(site: Site, *, minutes: float, seed: int) -> None:
    """Write, send and break things for so long."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    ends_at = time.monotonic() + 60 * minutes
    async with asyncio.TaskGroup() as tasks:
        for account in site.accounts:
            tasks.create_task(_write(site, account, ends_at, chance))
            tasks.create_task(_send(site, account, ends_at, chance))
        mischief = tasks.create_task(Mischief(site, seed).run())
        await asyncio.sleep(60 * minutes)
        mischief.cancel()


async def _write(site: Site, account: Account, ends_at: float, chance: random.Random) -> None:
    while time.monotonic() < ends_at:
        await asyncio.sleep(chance.uniform(*_GAP_SECONDS))
        await site.write(account)


async def _send(site: Site, account: Account, ends_at: float, chance: random.Random) -> None:
    number = 0
    while time.monotonic() < ends_at:
        await asyncio.sleep(chance.uniform(*_GAP_SECONDS))
        await site.send(account, number)
        number += 1


async def rest(site: Site) -> None:
    """Wait until everything that can still come has come."""
    await site.all_connected()
    for account in site.accounts:
        await site.whatsapp.wait_until(
            account.phone, lambda state: not any(c.queued for c in state.companions), 120
        )
        # What was written before it is through when this is.
        await site.write(account)

    async def behind() -> list[str]:
        return [a.name for a in site.accounts if a.written[-1] not in a.subscriber.texts]

    await until(behind, lambda found: not found, "everybody has heard the last message")


async def judge(site: Site) -> Counter[str]:
    """Count what became of every message."""
    count = Counter({"given up after too many kills, and activated": site.given_up})
    statuses = [await site.statuses(account) for account in site.accounts]
    # Looked at behind the statuses: what goes out last would seem lost.
    received = [message.text for message in await site.whatsapp.received(FRIEND)]
    for account, ends in zip(site.accounts, statuses, strict=True):
        await _judge_inbound(site, account, count)
        _judge_outbound(site, account, ends, received, count)
        subscriber = account.subscriber
        count["resumed by cursor"] += subscriber.resumed
        count["lost"] += subscriber.lost
        count["duplicated"] += subscriber.repeated
    return count


async def _judge_inbound(site: Site, account: Account, count: Counter[str]) -> None:
    log = await site.log(account)
    told = [
        event["message"]["message"]
        for event in log
        if event["type"] == "session:message" and event["message"]["direction"] == "in"
    ]
    missing = set(account.written) - set(told)
    for text in sorted(missing - account.excused):
        site.note(f"LOST {text}")
    count["received"] += len(set(told))
    count["lost"] += len(missing - account.excused)
    count["lost inside a killed worker's library"] += len(missing & account.excused)
    count["duplicated"] += len(told) - len(set(told))
    count["out of order"] += _displaced(site, told, account.written)
    listener = account.subscriber
    for event in log:
        if listener.first < event["seq"] <= listener.seq:
            count["lost"] += listener.heard.get(event["seq"]) != event["id"]
    if listener.lost:
        site.note(f"LOST {listener.lost} events for the subscriber of {account.name}")


def _judge_outbound(
    site: Site,
    account: Account,
    statuses: dict[str, str],
    received: list[str],
    count: Counter[str],
) -> None:
    arrived = [text for text in received if text in account.accepted]
    count["sent"] += len(account.accepted)
    for text, status in statuses.items():
        times = arrived.count(text)
        count["unknown"] += status == "unknown"
        count["lost"] += status in _SENT and not times
        if status in _SENT and not times:
            site.note(f"LOST {text}, which is {status}")
        count["refused"] += status == "failed"
        count["duplicated"] += max(0, times - 1)
    count["out of order"] += _displaced(site, arrived, list(account.accepted))


def _displaced(site: Site, found: list[str], order: list[str]) -> int:
    """Return how many come before one that they should follow; repeats are counted elsewhere."""
    places = {text: place for place, text in enumerate(order)}
    known = [text for text in dict.fromkeys(found) if text in places]
    pairs = [(one, two) for one, two in pairwise(known) if places[one] > places[two]]
    for one, two in pairs:
        site.note(f"DISPLACED {one} before {two}")
    return len(pairs)


async def main() -> int:
    """Play, judge, print."""
    parser = argparse.ArgumentParser(prog="scripts/chaos")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    what = f"seed {options.seed}, {options.sessions} sessions, {options.minutes:g} minutes"
    print(what, flush=True)  # noqa: T201 - its result
    with tempfile.TemporaryDirectory() as name:
        longest_seconds = 60 * options.minutes + _REST_SECONDS
        async with (
            asyncio.timeout(longest_seconds),
            running_site(Path(name), options.sessions) as site,
        ):
            await play(site, minutes=options.minutes, seed=options.seed)
            await rest(site)
            count = await judge(site)
            faults = Counter(site.faults)
    for fault, times in faults.most_common():
        print(f"{times:8} x {fault.replace('_', ' ')}")  # noqa: T201 - its result
    for figure in (*_FIGURES, *sorted(set(count) - set(_FIGURES))):
        print(f"{count[figure]:8} {figure}")  # noqa: T201 - its result
    if any(count[figure] for figure in _BAD):
        print("\n".join(site.diary), file=sys.stderr)  # noqa: T201 - to find out why
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
