"""The operator's commands, on a real PostgreSQL and a real Valkey."""
