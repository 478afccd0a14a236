"""Alembic's revisions, each one step from one version's tables to the next; `Records.migrate` walks them."""
