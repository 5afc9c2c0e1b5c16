"""The life of a subscription as merchants steer it: one verb a module, rows only."""
