"""Planted faults: what a naive engineer would write, each of which the simulation must find.

A mutant is a patch of the real code, applied to a copy of the checkout. Seeded lives are lived on
it until one shows what it does to money or to an ending; the code as it is lives the same lives
without a violation. A mutant that survives is a hole in the proof and fails the run.
"""
