"""What counting messages costs: incoming ones recorded per second, with the usage log and without.

`python -m tests.benchmarks.usage_cost [--messages 2000] [--sessions 20] [--batch 1] [--url …]`
alternates both in one run, on a database of its own, and prints one JSON object.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from sessions import usage
from sessions.ids import SessionId, SessionName
from sessions.messages import EngineMessage
from sessions.recorder import Recorder
from sessions.signals import MessageReceived
from tests.sessions.house import House, migrate, running_house

_ROUNDS = 5


async def _nothing(*_: Any, **__: Any) -> None:
    """Count nothing."""


def _messages(label: str, count: int) -> list[MessageReceived]:
    return [
        MessageReceived(
            message=EngineMessage(
                whatsapp_id=f"{label}-{number}",
                chat="447700900123@s.whatsapp.net",
                sender="447700900123@s.whatsapp.net",
                phone="447700900123",
                text="Hello",
                timestamp_ms=1_700_000_000_000 + number,
            )
        )
        for number in range(count)
    ]


async def _per_second(house: House, recorders: list[Recorder], options: Any, label: str) -> float:
    each: int = options.messages // len(recorders)

    async def one(writer: Recorder) -> None:
        messages = _messages(label, each)
        for first in range(0, each, options.batch):
            batch = messages[first : first + options.batch]
            await house.store.write(partial(writer.record, signals=batch))

    started = time.monotonic()
    await asyncio.gather(*(one(writer) for writer in recorders))
    return each * len(recorders) / (time.monotonic() - started)


async def _claimed(house: House, name: str) -> Recorder:
    session = await house.session(name)
    writer = Recorder(SessionId(session.id), SessionName(name))
    await house.store.write(writer.claim)
    return writer


async def measure(directory: Path, options: Any) -> dict[str, float]:
    """Record rounds of both kinds, one after the other, and return the medians."""
    # The recorder looks it up in its module at each call.
    ways: dict[str, Callable[..., Awaitable[None]]] = {"with": usage.count, "without": _nothing}
    found: dict[str, list[float]] = {way: [] for way in ways}
    async with running_house(directory, url=options.url) as house:
        recorders = [await _claimed(house, f"s{number}") for number in range(options.sessions)]
        for number in range(_ROUNDS):
            for way, count in ways.items():
                vars(usage)["count"] = count
                label = f"{way}-{number}"
                found[way].append(await _per_second(house, recorders, options, label))
    return {way: round(statistics.median(each)) for way, each in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the usage log costs.")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--url", default=None, help="an empty PostgreSQL database")
    options = parser.parse_args()
    if options.url is not None:
        migrate(options.url)
    with tempfile.TemporaryDirectory() as name:
        figures = asyncio.run(measure(Path(name), options))
    share = 1 - figures["with"] / figures["without"]
    print(json.dumps({"messages per second": figures, "share": round(share, 3)}))  # noqa: T201


if __name__ == "__main__":
    main()
