"""The work itself: one verb a module, asynchronous, knowing neither Celery nor HTTP."""
