"""What each worker has received, told to other processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add it; what is stored was received."""
    op.add_column("journal_positions", sa.Column("received", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE journal_positions SET received = sequence")
