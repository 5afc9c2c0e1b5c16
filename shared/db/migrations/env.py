"""Alembic's entry point: runs migrations on the connection it is handed."""

from alembic import context

from shared.db.tables import metadata


def run() -> None:
    """Migrate, in one transaction, on ``config.attributes['connection']``."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
