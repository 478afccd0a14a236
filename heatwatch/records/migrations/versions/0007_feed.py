"""How far InfluxDB has been told, and a feed of the tallies of compliance rates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Create the tables; days that are tallied already come first in the feed."""
    op.create_table(
        "compliance_changes",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("building_id", sa.String(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "building_id", name=op.f("pk_compliance_changes")),
    )
    op.create_index(op.f("ix_compliance_changes_change_seq"), "compliance_changes", ["change_seq"])
    op.execute(
        "INSERT INTO compliance_changes (day, building_id, change_seq) "
        "SELECT day, building_id, row_number() OVER (ORDER BY day, building_id) "
        "FROM (SELECT DISTINCT day, building_id FROM compliance_days) AS told"
    )
    op.execute(
        "INSERT INTO cursors (name, change_seq) SELECT 'compliance_days', max(change_seq) FROM compliance_changes "
        "HAVING count(*) > 0"
    )
    op.create_table(
        "feed_progress",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("generation", "schema_version", "change_seq", "audit_seq", "days_seq", "arrival_seq")
        ),
        sa.Column("snapshot_ms", sa.BigInteger(), nullable=True),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("hours_key", sa.String(length=64), nullable=False),
        sa.Column("register_version", sa.BigInteger(), nullable=False),
        sa.Column("walk", JSON, nullable=True),
        sa.Column("heard", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_progress")),
    )
    op.create_table(
        "feed_findings",
        sa.Column("finding_id", BIG_ID, nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("places", JSON, nullable=False),
        sa.ForeignKeyConstraint(["finding_id"], ["findings.id"], name=op.f("fk_feed_findings_finding_id_findings")),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_feed_findings")),
    )
    op.create_table(
        "feed_days",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("building_id", sa.String(), nullable=False),
        sa.Column("series", JSON, nullable=False),
        sa.PrimaryKeyConstraint("day", "building_id", name=op.f("pk_feed_days")),
    )
