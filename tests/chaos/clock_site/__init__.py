"""A folder for ``PYTHONPATH``: what lies in it gives one process a clock that can be moved."""
