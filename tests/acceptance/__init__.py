"""Real processes, killed and starved on purpose; the verdict comes from the gateway's book."""
