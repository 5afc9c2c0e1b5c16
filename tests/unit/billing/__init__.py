"""Proof of the pure domain: no database, no network, no clock but the one handed in."""
