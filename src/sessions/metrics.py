"""What the domain counts; named by Prometheus' rules, never labelled by session or phone."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The domain's instruments, on a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commit_seconds = Histogram(
            "wagate_commit_seconds",
            "Time of one group commit.",
            buckets=_FAST_SECONDS,
            registry=registry,
        )
        self.events = Counter(
            "wagate_events_appended", "Events numbered.", ["type"], registry=registry
        )
        self.sends = Counter(
            "wagate_sends", "Messages handed to the engine.", ["outcome"], registry=registry
        )
        self.send_seconds = Histogram(
            "wagate_send_seconds",
            "Time from the engine's call to WhatsApp's answer.",
            buckets=_FAST_SECONDS,
            registry=registry,
        )
        self.undecryptable = Counter(
            "wagate_messages_undecryptable", "Messages that could not be read.", registry=registry
        )
        self.connections = Counter(
            "wagate_connection_ends", "How connections ended.", ["reason"], registry=registry
        )
        self.sessions = Gauge(
            "wagate_sessions", "Sessions driven by this process.", ["status"], registry=registry
        )
        self.background_faults = Counter(
            "wagate_background_faults",
            "Unexpected errors in a session's own task; each is logged.",
            registry=registry,
        )
