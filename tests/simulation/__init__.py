"""A deterministic simulation: the real tasks, services, scans and SQL; the world around is seeded.

One event loop runs every process of a simulated installation on a virtual clock. Whoever wants to
touch the outside (a statement, a commit, a request, a message) waits for its turn, and one dice
says whose turn it is. So one seed is one run: a failing one replays exactly.
"""
