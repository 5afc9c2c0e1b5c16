"""The way out for events: the outbox's rows to a stream that others read."""
