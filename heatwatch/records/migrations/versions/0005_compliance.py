"""What the days of test points come to, for compliance rates, and what of it has to be tallied anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SUBJECT = ("day", "building_id", "point_id", "station_id", "room", "room_class")
SUMS = (
    "compliant_ms",
    "violating_ms",
    "unknown_ms",
    "sensor_fault_ms",
    "outage_ms",
    "not_asked_ms",
    "suspended_ms",
    "off_season_ms",
    "unlisted_ms",
    "below_target_ms",
    "outage_compliant_ms",
    "outage_violating_ms",
    "compliant_n",
    "violating_n",
    "below_target_n",
    "outage_n",
    "outage_violating_n",
    "outage_below_target_n",
    "sensor_fault_n",
    "sensor_fault_violating_n",
    "sensor_fault_below_target_n",
    "not_asked_n",
    "not_in_service_n",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "compliance_days",
        *(sa.Column(name, sa.String(), nullable=False) for name in SUBJECT),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint(*SUBJECT, name=op.f("pk_compliance_days")),
    )
    op.create_index(op.f("ix_compliance_days_station_id_day"), "compliance_days", ["station_id", "day"])
    op.create_table(
        "compliance_due",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("building_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("day", "building_id", name=op.f("pk_compliance_due")),
    )
    op.create_table(
        "compliance_faults",
        sa.Column("finding_id", BIG_ID, nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["finding_id"], ["findings.id"], name=op.f("fk_compliance_faults_finding_id_findings")),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_compliance_faults")),
    )
    op.create_table(
        "compliance_progress",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("arrival_seq", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("as_of_ms", sa.BigInteger(), nullable=True),
        sa.Column("first_day", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compliance_progress")),
    )
