"""What bridges count: labelled by their kind, as webhook endpoints are many."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from api.bridge_status import BridgeStatus

Outcome = Literal["taken", "refused", "parked"]


class BridgeMetrics:
    """The pump's instruments, on a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "wagate_bridge_events",
            "Events handed to back ends, and what became of them; a refused one comes again.",
            ["bridge", "outcome"],
            registry=registry,
        )
        self._backlog = Gauge(
            "wagate_bridge_backlog_events",
            "Events that wait for back ends, as of the last quarter of a minute.",
            ["bridge"],
            registry=registry,
        )
        self._oldest = Gauge(
            "wagate_bridge_oldest_seconds",
            "How long the oldest event has waited for a back end; 0 when none does.",
            ["bridge"],
            registry=registry,
        )
        self._parked = Gauge(
            "wagate_bridge_parked_events",
            "Events that back ends have refused for good, kept for another try.",
            ["bridge"],
            registry=registry,
        )

    def count(self, name: str, outcome: Outcome) -> None:
        """Count one event that was handed to a bridge."""
        self._events.labels(_kind(name), outcome).inc()

    def measure(self, statuses: Sequence[BridgeStatus], now: datetime) -> None:
        """Take over how every bridge is doing."""
        kinds = {_kind(status.name) for status in statuses}
        for gauge in (self._backlog, self._oldest, self._parked):
            # A kind whose last endpoint was deleted has nothing waiting any more.
            gauge.clear()
        for kind in kinds:
            own = [status for status in statuses if _kind(status.name) == kind]
            waits = [(now - one.oldest).total_seconds() for one in own if one.oldest is not None]
            self._backlog.labels(kind).set(sum(one.backlog for one in own))
            self._oldest.labels(kind).set(max([0.0, *waits]))
            self._parked.labels(kind).set(sum(one.parked for one in own))


def _kind(name: str) -> str:
    return name.partition(":")[0]
