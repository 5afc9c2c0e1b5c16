"""The operator's console: `dalmada`."""
