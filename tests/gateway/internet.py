"""Sockets of a world in which public addresses are ports of this machine."""

from collections.abc import Mapping
from typing import Any

import httpcore


class Internet(httpcore.AnyIOBackend):
    """Connects to the port of a public address, and to what was asked for otherwise."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        super().__init__()
        self._ports = ports
        self.dialled: list[str] = []

    async def connect_tcp(self, host: str, port: int, *more: Any) -> httpcore.AsyncNetworkStream:
        """Connect, and note to what."""
        self.dialled.append(host)
        known = self._ports.get(host)
        target = (host, port) if known is None else ("127.0.0.1", known)
        return await super().connect_tcp(*target, *more)
