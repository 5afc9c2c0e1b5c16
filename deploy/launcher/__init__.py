"""Starts Dalmada and its servers on one machine with nothing but the standard library."""
