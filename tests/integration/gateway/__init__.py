"""The gateway's client against real servers: our own bare ones, and the sandbox."""
