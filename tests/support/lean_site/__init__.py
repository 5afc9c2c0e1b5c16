"""A folder for ``PYTHONPATH``: what lies in it spares a process what Celery loads for nobody."""
