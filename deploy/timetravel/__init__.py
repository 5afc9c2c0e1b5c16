"""Time travel: years of subscriptions on a test clock, with the real domain, tables and services.

Only the clock, the messages' way and the instants at which anybody looks are the traveller's own;
the scans, the commands, the gateway's client and the database are those of an installation.
"""
