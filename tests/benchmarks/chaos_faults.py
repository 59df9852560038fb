"""What chaos breaks."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable

import psutil

from tests.acceptance.gateway_process import send_signal
from tests.benchmarks.chaos_site import Site

_STOPPED_SECONDS = (0.5, 4.0)
_BURST = 25


class Mischief:
    """Breaks something, by a seeded choice; one fault at a time."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._faults: dict[Callable[[], Awaitable[None]], int] = {
            self.kill_a_worker: 2,
            self.kill_the_gateway: 1,
            self.stop_a_worker: 2,
            self.stop_the_gateway: 1,
            self.cut_the_subscribers: 2,
            self.drop_a_subscriber: 2,
            self.cut_whatsapp: 2,
            self.burst: 3,
        }

    async def run(self) -> None:
        """Break something every few seconds until cancelled."""
        while True:
            await asyncio.sleep(self._chance.uniform(1, 4))
            await self.one()

    async def one(self) -> None:
        """Break one thing."""
        faults, weights = zip(*self._faults.items(), strict=True)
        (fault,) = self._chance.choices(faults, weights)
        self._site.faults.append(fault.__name__)
        self._site.note(f"begin {fault.__name__}")
        # To its end, also when the time is up: what is killed or stopped must come back.
        await asyncio.shield(asyncio.create_task(fault()))
        self._site.note(f"end {fault.__name__}")

    async def kill_a_worker(self) -> None:
        """`kill -9` of an engine worker."""
        if worker := self._worker():
            for account in self._site.accounts:
                account.excused |= account.missing
            send_signal(worker, signal.SIGKILL)

    async def kill_the_gateway(self) -> None:
        """`kill -9` of the gateway, and a new start."""
        await self._site.gateway.kill()
        await asyncio.sleep(self._chance.uniform(0, 2))
        await self._site.gateway.start()

    async def stop_a_worker(self) -> None:
        """A worker stands still for a while."""
        if worker := self._worker():
            await self._stand(worker)

    async def stop_the_gateway(self) -> None:
        """The gateway stands still for a while."""
        await self._stand(psutil.Process(self._site.gateway.process.pid))

    async def cut_the_subscribers(self) -> None:
        """Every subscriber's TCP connection is reset."""
        self._site.proxy.cut()

    async def drop_a_subscriber(self) -> None:
        """A subscriber hangs up by itself."""
        await self._chance.choice(self._site.accounts).subscriber.drop()

    async def cut_whatsapp(self) -> None:
        """WhatsApp drops one account, or everybody."""
        one = self._chance.choice([account.phone for account in self._site.accounts])
        await self._site.whatsapp.drop(self._chance.choice([one, None]))

    async def burst(self) -> None:
        """The friend writes a lot to one session at once."""
        account = self._chance.choice(self._site.accounts)
        for _ in range(_BURST):
            await self._site.write(account)

    async def _stand(self, process: psutil.Process) -> None:
        send_signal(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(*_STOPPED_SECONDS))
        finally:
            send_signal(process, signal.SIGCONT)

    def _worker(self) -> psutil.Process | None:
        workers = self._site.gateway.connected_workers()
        return self._chance.choice(workers) if workers else None
