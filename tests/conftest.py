"""What every test has: services, a loopback WhatsApp, and no blocking call on the event loop."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

from tests.bridges.node_backend import node
from tests.loopback_whatsapp.fixture import loopback_whatsapp
from tests.rabbitmq import rabbit_server, rabbitmq_url, topology
from tests.services import (
    postgres_copy,
    postgres_template,
    postgres_url,
    redis,
    redis_prefix,
    redis_server,
    redis_url,
)

__all__ = [
    "loopback_whatsapp",
    "node",
    "postgres_copy",
    "postgres_template",
    "postgres_url",
    "rabbit_server",
    "rabbitmq_url",
    "redis",
    "redis_prefix",
    "redis_server",
    "redis_url",
    "topology",
]

START = {
    "asyncpg/connect_utils.py": {"_parse_connect_arguments"},
    "api/openapi.py": {"document"},
    "gateway/app.py": {"build"},
    "gateway/asyncapi.py": {"document"},
    "gateway/certificates.py": {"trusted"},
    "gateway/database.py": {"open_database", "prepare", "_revisions", "_upgrade"},
    "redis/utils.py": {"get_lib_version"},
    "sessions/engine_simulator_files.py": {"load"},
}
"""What reads files before the server serves, or, of database clients, at every new connection."""


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our code blocks the event loop."""
    with blockbuster_ctx(["gateway", "api", "auth", "sessions"]) as blockbuster:
        for function in blockbuster.functions.values():
            for filename, names in START.items():
                function.can_block_in(filename, names)
        yield
