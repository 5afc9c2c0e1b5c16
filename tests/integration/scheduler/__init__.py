"""The scans and the lease on real servers."""
