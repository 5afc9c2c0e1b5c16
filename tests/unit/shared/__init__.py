"""What every process shares: settings, logs, the loop, messages."""
