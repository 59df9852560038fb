"""Indexes by session, for deletions: each looks for what of a session is in these tables."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_consumer_cursors_session", "consumer_cursors", ["session"])
    op.create_index("ix_parked_events_session", "parked_events", ["session"])
    op.create_index("ix_webhook_retries_session", "webhook_retries", ["session"])
