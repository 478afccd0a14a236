"""What Alembic runs before it walks the revisions: on the connection that `Records.migrate` hands over."""

from __future__ import annotations

from alembic import context

from heatwatch.records.schema import Base


def run() -> None:
    """Walk the revisions inside the caller's transaction."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name under which Alembic loads this file
    run()
