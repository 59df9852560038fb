"""Connects to names that strangers chose: to addresses that were checked, and to nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import httpcore

from gateway.webhook_addresses import is_public

_NEXT_ADDRESS_SECONDS = 3.0

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns every address of a name; raises OSError when it has none."""


class RefusedAddress(httpcore.ConnectError):
    """The name leads to an address that is not public."""


class CheckedSockets(httpcore.AsyncNetworkBackend):
    """Connects to what it has resolved and checked itself; TLS still asks for the name."""

    def __init__(
        self,
        resolve: Resolve,
        sockets: httpcore.AsyncNetworkBackend,
        *,
        allow_private: bool,
        total_seconds: float,
    ) -> None:
        self._resolve = resolve
        self._sockets = sockets
        self._allow_private = allow_private
        self._total_seconds = total_seconds

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, in the resolver's order.

        Raises:
            httpcore.ConnectError: none does, or one of them is not public.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + (self._total_seconds if timeout is None else timeout)
        addresses = await self._addresses(host, port)
        message = "the name has no address"
        for tried, address in enumerate(addresses):
            seconds = _share_seconds(until - loop.time(), len(addresses) - tried)
            try:
                return await self._sockets.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
            except httpcore.ConnectTimeout:
                message = f"no connection within {seconds:.2g} seconds"
            except httpcore.ConnectError as error:
                message = str(error)
        raise httpcore.ConnectError(message)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            message = "the name can't be resolved"
            raise httpcore.ConnectError(message) from error
        # All of them: one that is ours beside a public one is how a check is walked around.
        if not self._allow_private and not all(map(is_public, addresses)):
            message = "the name leads to an address that is not public"
            raise RefusedAddress(message)
        return addresses


def _share_seconds(rest_seconds: float, addresses: int) -> float:
    """Return how long to try one of the addresses that are left, so that each has its turn."""
    share = max(rest_seconds, 0.0) / addresses
    return share if addresses == 1 else min(share, _NEXT_ADDRESS_SECONDS)
