"""Celery's broker as our processes read it."""
