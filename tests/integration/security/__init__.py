"""What stands between our processes and whoever listens: TLS, passwords, and what errors say."""
