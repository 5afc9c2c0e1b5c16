"""What every process must agree on: settings, clock, logs, domain, database, messages."""
