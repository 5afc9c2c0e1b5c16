"""The messages between processes: their contracts, their queues, and the only place that sends."""
