"""Crash-point exhaustion: a process dies at every point, and at every pair of points.

Every scenario is one small life of an installation, with real tasks, services and SQL. It is lived
undisturbed once, and then again and again with deaths: at each point that was passed, and in each
life that recovers from one death, at each later point. What died is replaced as by a container
engine, beat ticks, messages come back, time passes; nobody helps otherwise.
"""
