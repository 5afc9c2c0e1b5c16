"""What is decided about events on their way out, without a network."""
