"""Proof, from pure rules up to real processes that are killed."""
