"""The tables: migrations, constraints and statements, on a real PostgreSQL."""
