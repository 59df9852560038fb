"""A service that ends unasked stops the server, once and in order."""

import asyncio
import signal

import pytest
from prometheus_client import CollectorRegistry

from gateway.supervision import Run, Supervisor
from tests.sessions.house import until


async def forever() -> None:
    """Serve."""
    await asyncio.Event().wait()


async def fail() -> None:
    """End at once."""
    raise RuntimeError("broken")


async def leave() -> None:
    """End without a reason."""


@pytest.mark.parametrize("ending", [fail, leave])
async def test_services_that_end_unasked_signal_once(ending: Run) -> None:
    signals: list[int] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: signals.append(1))
    registry = CollectorRegistry()
    supervisor = Supervisor(registry)

    async def deaths() -> float:
        return registry.get_sample_value("wagate_service_deaths_total") or 0

    try:
        services = {"good": forever, "first": ending, "second": ending}
        async with supervisor.serving(services):
            await until(deaths, lambda found: found == 2)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)

    assert signals == [1]
    assert supervisor.dead in {"first", "second"}


async def test_services_end_with_the_block_from_last_to_first() -> None:
    ended: list[str] = []

    def service(name: str) -> Run:
        async def run() -> None:
            try:
                await forever()
            finally:
                ended.append(name)

        return run

    names = ["store", "engine", "edge"]
    services = {name: service(name) for name in names}
    async with Supervisor(CollectorRegistry()).serving(services):
        await asyncio.sleep(0)

    assert ended == names[::-1]
