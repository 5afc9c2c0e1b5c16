"""Celery tasks: unpack a message, call one service, name the outcome; they decide nothing."""
