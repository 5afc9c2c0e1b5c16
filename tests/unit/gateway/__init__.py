"""What the gateway's client decides without a network."""
