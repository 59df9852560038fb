"""The end of a session's sender, at whatever moment it comes."""

import asyncio
from typing import Any

from sessions.sender import Sender
from tests.sessions.house import TENANT, House, until


async def test_it_ends_when_it_is_told_to_even_in_the_moment_of_news(house: House) -> None:
    await house.connected()
    for steps in range(12):
        task, sender = (await until(idle_senders, bool))[0]
        sender.wake()
        # In whichever step the two meet, the end must win.
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done, f"it goes on when it is cancelled {steps} steps after news"
        await house.manager.deactivate(TENANT, "one")
        await house.manager.activate(TENANT, "one")


async def idle_senders() -> list[tuple[asyncio.Task[Any], Sender]]:
    """Return the senders that have nothing to send and wait for news, with their tasks."""
    found = []
    for task in asyncio.all_tasks():
        coroutine: Any = task.get_coro()
        if coroutine.__qualname__ != "Sender.run" or coroutine.cr_frame is None:
            continue
        sender, inner, names = coroutine.cr_frame.f_locals["self"], coroutine, set()
        while (inner := getattr(inner, "cr_await", None)) is not None:
            names.add(getattr(inner, "__qualname__", ""))
        if sender.is_online and {"Event.wait", "wait_for"} & names:
            found.append((task, sender))
    return found
