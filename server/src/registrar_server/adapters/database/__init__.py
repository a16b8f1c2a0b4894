"""The registrar database on SQLite and PostgreSQL: SQLAlchemy Core tables, statements, migrations."""
