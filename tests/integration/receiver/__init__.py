"""The receiver of webhooks, in this process, on a real broker."""
