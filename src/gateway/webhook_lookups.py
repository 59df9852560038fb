"""Asks the machine's resolver for the addresses of names that strangers chose.

Model: a lookup blocks, for half a minute when nobody answers, and can't be called back. So lookups
have a few threads of their own, in which nothing else waits; whoever gives up leaves a thread at
work. Each asker gets a share of them, and a name is looked up once at a time for all who ask: dead
names cost their owner's share, and one dead name a single thread.
"""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from weakref import WeakValueDictionary

_THREADS = 16
_OF_ONE_ASKER = 4

_asker: ContextVar[str] = ContextVar("asker", default="")

_Name = tuple[str, str, int]
"""Who asks, the host, the port."""


@contextmanager
def asking_for(asker: str) -> Iterator[None]:
    """Count what is looked up inside of the block as this asker's."""
    token = _asker.set(asker)
    try:
        yield
    finally:
        _asker.reset(token)


class Lookups:
    """The machine's resolver, with a share for each who asks; threads start as they are needed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="lookup")
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._running: dict[_Name, asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return every address of a name; waits while its asker's share is used up.

        Raises:
            OSError: it has none, or nobody answers.
            UnicodeError: it can't be a name.
        """
        name = (_asker.get(), host, port)
        if name not in self._running:
            room = self._rooms.setdefault(name[0], asyncio.Semaphore(_OF_ONE_ASKER))
            await room.acquire()
            if name in self._running:
                room.release()
            else:
                self._begin(name, room)
        # Shielded: others may wait for it, and the thread is at work whether anyone waits or not.
        return await asyncio.shield(self._running[name])

    def close(self) -> None:
        """Look up nothing more; does not wait for what nobody answers."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, name: _Name, room: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, _look_up, *name[1:])
        self._running[name] = work
        work.add_done_callback(partial(self._end, name, room))

    def _end(self, name: _Name, room: asyncio.Semaphore, work: asyncio.Future[list[str]]) -> None:
        del self._running[name]
        room.release()
        if not work.cancelled():
            # Taken notice of, as perhaps nobody waits for it any more.
            work.exception()


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
