"""Invariants, asked of worlds that are well and of such in which one thing is wrong."""
