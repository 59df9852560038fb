"""What the settings mean for sessions, connections, and back ends."""

from datetime import timedelta

from gateway.bridge_bullmq_library import QueueNames
from gateway.bridge_rabbitmq_topology import Topology
from gateway.connections import RealtimeLimits
from gateway.settings import Settings
from sessions.services import Policy


def session_policy(settings: Settings) -> Policy:
    """Return how patient sessions are."""
    return Policy(
        qr_max_attempts=settings.qr_max_attempts,
        message_lifetime=timedelta(hours=settings.message_expiry_hours),
        queue_limit=settings.queue_limit_messages,
        send_gap_seconds=settings.send_gap_seconds,
        send_jitter_seconds=settings.send_jitter_seconds,
        sends_per_minute=settings.sends_per_minute,
        send_attempts=settings.send_attempts,
        event_retention=timedelta(days=settings.event_retention_days),
        event_limit=settings.event_limit,
        send_timeout_seconds=settings.send_seconds,
        # Together with the web server's own part, a stop in order stays within its time.
        stop_timeout_seconds=settings.shutdown_timeout_seconds * 0.4,
        drain_seconds=settings.shutdown_timeout_seconds * 0.6,
    )


def realtime_limits(settings: Settings) -> RealtimeLimits:
    """Return what connections may cost."""
    return RealtimeLimits(
        connections_per_subject=settings.connections_per_subject,
        subscriptions=settings.subscriptions_per_connection,
        commands_per_second=settings.commands_per_second,
        commands_burst=int(2 * settings.commands_per_second),
        replayed_events=settings.recovery_max_events,
        recovery_window_seconds=settings.recovery_window_seconds,
        unsent_bytes=settings.slow_client_bytes,
        message_bytes=settings.websocket_max_bytes,
        handshake_seconds=settings.handshake_timeout_seconds,
    )


def rabbitmq_topology(settings: Settings) -> Topology:
    """Return what things are called on the broker."""
    return Topology(
        exchange=settings.rabbitmq_exchange,
        session_update=settings.queue_session_update,
        message_send=settings.queue_message_send,
        message_receive=settings.queue_message_receive,
        number_health=settings.queue_number_health,
        worker_events=settings.queue_worker_events,
        commands=settings.queue_commands,
        dead_letters=settings.queue_dead_letters,
        worker_id=settings.worker_id,
    )


def queue_names(settings: Settings) -> QueueNames | None:
    """Return where a back end's queues are; None when the settings name no Redis for them."""
    if settings.bullmq_redis_url is None:
        return None
    return QueueNames(
        url=settings.bullmq_redis_url.get_secret_value(),
        prefix=settings.bullmq_prefix,
        send=settings.bullmq_send_queue,
        incoming=settings.bullmq_incoming_queue,
    )
