"""The way out for events: a stream that others read, and signed posts to merchants' endpoints."""
