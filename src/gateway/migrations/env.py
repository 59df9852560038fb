"""Runs migrations on the connection that `gateway.database` hands over."""

from alembic import context
from sqlmodel import SQLModel

import gateway.webhook_retries
import gateway.webhook_table  # noqa: F401 - defines tables
import sessions.models  # noqa: F401 - defines tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite can't change a column in place.
    render_as_batch=True,
)
context.run_migrations()
