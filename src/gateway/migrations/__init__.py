"""The database's tables through time, by Alembic; applied at start or by `wagate migrate`."""
