"""The two hashes of a checksum mismatch."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of media that failed before, both stay null: what was found is told in their sentence alone.
    op.add_column("media", sa.Column("failure_expected", sa.Text(), nullable=True))
    op.add_column("media", sa.Column("failure_actual", sa.Text(), nullable=True))
