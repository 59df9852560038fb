"""What the Socket.IO edge counts; never labelled by client, session or tenant."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

EndReason = Literal[
    "client", "transport", "ping_timeout", "slow", "malformed", "token", "lost_position", "shutdown"
]


class RealtimeMetrics:
    """The edge's instruments, on a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge(
            "wagate_clients", "Socket.IO clients inside the namespace.", registry=registry
        )
        self.ends = Counter(
            "wagate_client_disconnects",
            "How connections of clients inside the namespace ended.",
            ["reason"],
            registry=registry,
        )
        self.outsiders = Counter(
            "wagate_handshake_timeouts",
            "Connections closed because they did not enter the namespace in time.",
            registry=registry,
        )
        self.unsent_bytes = Gauge(
            "wagate_client_unsent_bytes",
            "Bytes that wait for clients, all together, as of the last second.",
            registry=registry,
        )
        self.recoveries = Counter(
            "wagate_recoveries",
            "Clients that wanted to go on from a position, by cursor or by connection state.",
            ["kind", "recovered"],
            registry=registry,
        )

    def recovery(self, kind: Literal["cursor", "connection"], *, recovered: bool) -> None:
        """Count one attempt to go on."""
        self.recoveries.labels(kind, str(recovered).lower()).inc()
