"""The catalogue: every order and filter has its index, tags are counted, media are searched and published."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.search import slug_of, words_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FILENAME_ORDER = """lower(filename COLLATE "C")"""
TAG_WORDS = "array_to_tsvector(array_remove(string_to_array(replace(slug, '_', '-'), '-'), ''))"

#: Both rows of a statement in the order of their ids, so that two writers can't wait for each other.
COUNT_TAGS = """
CREATE FUNCTION count_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM tags WHERE id IN (SELECT tag_id FROM changed) ORDER BY id FOR NO KEY UPDATE;
    UPDATE tags SET media_count = media_count + links.number * TG_ARGV[0]::int
    FROM (SELECT tag_id, count(*) AS number FROM changed GROUP BY tag_id) AS links
    WHERE tags.id = links.tag_id;
    RETURN NULL;
END
$$
"""

#: The media of a tag in the order of their creation are one stretch of an index.
PLACE_LINK = """
CREATE FUNCTION place_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT created_at INTO NEW.media_created_at FROM media WHERE id = NEW.media_id;
    RETURN NEW;
END
$$
"""

#: What is to be public is what is PUBLIC and READY; whoever changes that leaves a line.
IS_WANTED = "{row}.visibility = 'PUBLIC' AND {row}.status = 'READY'"
WAS_WANTED, WILL_BE_WANTED = IS_WANTED.format(row="OLD"), IS_WANTED.format(row="NEW")
NOTE_PUBLICATION_CHANGE = """
CREATE FUNCTION note_publication_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO publication_changes (media_id) VALUES (coalesce(NEW.id, OLD.id));
    RETURN NULL;
END
$$
"""
PUBLICATION_CHANGES = {
    "INSERT": WILL_BE_WANTED,
    "UPDATE OF visibility, status": f"({WAS_WANTED}) <> ({WILL_BE_WANTED})",
    "DELETE": WAS_WANTED,
}

NEXT_MEDIA = sa.text("""
    SELECT id, owner_id, filename, title, description FROM media WHERE id > :last ORDER BY id LIMIT 500
""")
INSERT_WORDS = sa.text("""
    INSERT INTO media_search (media_id, words) VALUES (:id, array_to_tsvector(CAST(:words AS text[])))
""")
#: A tag whose new slug another one has keeps its old slug until it is renamed.
RESPELL = sa.text("""
    UPDATE tags SET slug = :slug WHERE id = :id AND NOT EXISTS (
        SELECT FROM tags AS other WHERE other.owner_id = tags.owner_id AND other.slug = :slug)
""")


def upgrade() -> None:
    _index_media()
    _make_search()
    _respell_tags()
    _count_tags()
    op.alter_column("processing_steps", "handed_back", new_column_name="uncounted_attempts")
    _place_links()
    op.create_table(
        "idempotency_keys",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("owner_id", "key"),
    )
    op.create_index("idempotency_keys_created", "idempotency_keys", ["created_at"])
    _make_publications()


def _make_publications() -> None:
    op.create_table(
        "publications",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("media_id"),
        sa.UniqueConstraint("prefix"),
    )
    op.create_index(
        "publications_unfinished",
        "publications",
        ["media_id"],
        postgresql_where=sa.text("published_at IS NULL OR withdrawn_at IS NOT NULL"),
    )
    op.create_table(
        "publication_changes",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("media_id", "id"),
    )
    op.execute(f"""
        INSERT INTO publication_changes (media_id) SELECT id FROM media WHERE {IS_WANTED.format(row="media")}
    """)
    op.execute(NOTE_PUBLICATION_CHANGE)
    for event, condition in PUBLICATION_CHANGES.items():
        op.execute(f"""
            CREATE TRIGGER media_publication_{event.partition(" ")[0].lower()} AFTER {event} ON media
            FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION note_publication_change()
        """)


def _index_media() -> None:
    orders: dict[str, list[str | sa.TextClause]] = {
        "created": ["created_at"],
        "updated": ["updated_at"],
        "filename": [sa.text(FILENAME_ORDER)],
        "size": ["size"],
    }
    public = sa.text("visibility = 'PUBLIC'")
    for name, columns in orders.items():
        if name != "created":  # that one is there
            op.create_index(f"media_owner_{name}", "media", ["owner_id", *columns, "id"])
        op.create_index(f"media_public_{name}", "media", [*columns, "id"], postgresql_where=public)
        op.create_index(f"media_{name}", "media", [*columns, "id"])
    op.create_index(
        "media_metadata",
        "media",
        ["metadata"],
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
        postgresql_where=sa.text("metadata <> '{}'"),
    )


def _make_search() -> None:
    op.create_table(
        "media_search",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("media_id"),
    )
    _fill_search()
    op.create_index("media_search_words", "media_search", ["words"], postgresql_using="gin")


def _fill_search() -> None:
    connection = op.get_bind()
    last = UUID(int=0)
    while rows := connection.execute(NEXT_MEDIA, {"last": last}).all():
        words = [
            {"id": row.id, "words": words_of(row.owner_id, row.filename, row.title, row.description)}
            for row in rows
        ]
        connection.execute(INSERT_WORDS, words)
        last = rows[-1].id


def _respell_tags() -> None:
    """Slugs have lost the marks of their letters, such as the vowels of Hindi. The log keeps the old ones."""
    connection = op.get_bind()
    tags = connection.execute(sa.text("SELECT id, name, slug FROM tags ORDER BY id")).all()
    respelled = [{"id": tag.id, "slug": slug} for tag in tags if (slug := slug_of(tag.name)) != tag.slug]
    if respelled:
        connection.execute(RESPELL, respelled)


def _count_tags() -> None:
    op.add_column("tags", sa.Column("media_count", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("tags", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("tags_owner_slug", "tags")
    op.create_index(
        "tags_owner_slug",
        "tags",
        ["owner_id", "slug"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("tags_slug", "tags", ["slug"], postgresql_where=sa.text("deleted_at IS NULL"))
    op.create_index(
        "tags_words",
        "tags",
        [sa.text(TAG_WORDS)],
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "tags_deleted", "tags", ["deleted_at"], postgresql_where=sa.text("deleted_at IS NOT NULL")
    )
    op.execute("""
        UPDATE tags SET media_count = links.number
        FROM (SELECT tag_id, count(*) AS number FROM media_tags GROUP BY tag_id) AS links
        WHERE tags.id = links.tag_id
    """)
    op.execute(COUNT_TAGS)
    for event, table, sign in (("INSERT", "NEW", "1"), ("DELETE", "OLD", "-1")):
        op.execute(f"""
            CREATE TRIGGER media_tags_counted_{event.lower()} AFTER {event} ON media_tags
            REFERENCING {table} TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION count_tags('{sign}')
        """)


def _place_links() -> None:
    op.add_column("media_tags", sa.Column("media_created_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("""
        UPDATE media_tags SET media_created_at = media.created_at FROM media WHERE media.id = media_id
    """)
    op.alter_column("media_tags", "media_created_at", nullable=False)
    op.drop_index("media_tags_tag", "media_tags")
    op.create_index("media_tags_tag_created", "media_tags", ["tag_id", "media_created_at", "media_id"])
    op.execute(PLACE_LINK)
    op.execute("""
        CREATE TRIGGER media_tags_placed BEFORE INSERT ON media_tags
        FOR EACH ROW EXECUTE FUNCTION place_link()
    """)
