"""Chaos with real processes: everything is killed, frozen, cut off and restarted under load.

``python -m tests.chaos --seconds 60 --seed 1`` ends with the comparison of our rows with the
sandbox's book. The schedule of what is done is a pure function of the seed; what real processes,
on a real machine, make of it differs from run to run.
"""
