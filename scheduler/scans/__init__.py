"""One module a scan: bounded work a tick, safe to run twice or at the same time."""
