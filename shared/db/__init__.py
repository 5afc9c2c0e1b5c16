"""PostgreSQL, the only truth: engine, tables, repositories (rows to domain values), migrations."""
