"""Tests of time travel: random histories, the audit, and the command that lives years."""
