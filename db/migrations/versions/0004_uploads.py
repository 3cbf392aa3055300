"""Uploads in parts, known bytes, and quotas."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: What a user's media hold is their sum at every moment, whoever changes them.
COUNT_HELD_BYTES = """
CREATE FUNCTION count_held_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users SET used_bytes = used_bytes
        + CASE TG_OP WHEN 'DELETE' THEN 0 ELSE NEW.held_bytes END
        - CASE TG_OP WHEN 'INSERT' THEN 0 ELSE OLD.held_bytes END
    WHERE id = CASE TG_OP WHEN 'DELETE' THEN OLD.owner_id ELSE NEW.owner_id END;
    RETURN NULL;
END
$$
"""
HELD_BYTES_CHANGES = {
    "INSERT": "NEW.held_bytes <> 0",
    "UPDATE OF held_bytes": "NEW.held_bytes <> OLD.held_bytes",
    "DELETE": "OLD.held_bytes <> 0",
}

#: What never came, or came otherwise than it was announced.
HAS_GIVEN_UP = """
    media.failure_code IN ('SIZE_MISMATCH', 'CHECKSUM_MISMATCH') OR EXISTS (
        SELECT FROM uploads WHERE media_id = media.id AND status IN ('ABORTED', 'EXPIRED'))
"""

#: What a media that is READY by one recipe learned of its bytes, for those to come.
LEARN_FACTS = """
UPDATE blobs SET recipe = made.recipe, facts = jsonb_build_object(
    'kind', media.kind, 'detected_mime_type', media.detected_mime_type, 'details', media.details)
FROM media JOIN (
    SELECT media_id, min(recipe) AS recipe FROM processing_steps
    GROUP BY media_id HAVING min(recipe) = max(recipe)
) AS made ON made.media_id = media.id
WHERE media.blob_id = blobs.id AND media.status = 'READY' AND blobs.verified_at IS NOT NULL
"""


def upgrade() -> None:
    _count_bytes()
    _know_bytes()
    op.add_column(
        "processing_steps", sa.Column("store_away_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("uploads", sa.Column("part_size", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("multipart_id", sa.Text(), nullable=True))
    op.add_column("uploads", sa.Column("block_sha256s", sa.LargeBinary(), nullable=True))
    op.add_column(
        "uploads", sa.Column("is_stored", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index(
        "uploads_pending_key", "uploads", ["key"], unique=True, postgresql_where=sa.text("status = 'PENDING'")
    )


def _count_bytes() -> None:
    for table, column in (("users", "used_bytes"), ("media", "held_bytes")):
        op.add_column(table, sa.Column(column, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("users", sa.Column("quota_bytes", sa.BigInteger(), nullable=True))
    # No change of a media: neither a version nor a line in the log.
    op.execute("ALTER TABLE media DISABLE TRIGGER USER")
    op.execute(f"UPDATE media SET held_bytes = size WHERE NOT coalesce({HAS_GIVEN_UP}, false)")
    op.execute("ALTER TABLE media ENABLE TRIGGER USER")
    op.execute("""
        UPDATE users SET used_bytes = held.bytes
        FROM (SELECT owner_id, sum(held_bytes) AS bytes FROM media GROUP BY owner_id) AS held
        WHERE users.id = held.owner_id
    """)
    # What came otherwise than announced was kept with its media until now.
    op.execute("""
        INSERT INTO deletion_outbox (blob_id, key, not_before)
        SELECT DISTINCT blobs.id, blobs.key, now() + interval '3 hours' FROM blobs
        JOIN media ON media.blob_id = blobs.id WHERE media.held_bytes = 0
        ON CONFLICT (blob_id) DO NOTHING
    """)
    op.execute(COUNT_HELD_BYTES)
    for change, condition in HELD_BYTES_CHANGES.items():
        op.execute(f"""
            CREATE TRIGGER media_held_bytes_{change.split()[0].lower()} AFTER {change} ON media
            FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION count_held_bytes()
        """)


def _know_bytes() -> None:
    op.add_column(
        "blobs", sa.Column("is_shared", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("blobs", sa.Column("recipe", sa.Text(), nullable=True))
    op.add_column("blobs", sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.execute(LEARN_FACTS)
    op.create_index(
        "blobs_owner_sha256", "blobs", ["owner_id", "sha256"], postgresql_where=sa.text("sha256 IS NOT NULL")
    )
    op.create_index(
        "blobs_shared_sha256",
        "blobs",
        ["sha256"],
        postgresql_where=sa.text("is_shared AND sha256 IS NOT NULL"),
    )
    op.create_table(
        "blob_blocks",
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("blob_id", "owner_id", "number"),
    )
    op.create_index("blob_blocks_owner_sha256", "blob_blocks", ["owner_id", "sha256"])
    op.create_table(
        "possession_challenges",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("offsets", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("upload_id"),
    )
    op.create_index("possession_challenges_owner", "possession_challenges", ["owner_id", "created_at"])
