"""How Celery is set up in every process, each setting with its reason."""

import ssl
from typing import Any

from kombu.utils.url import parse_url

from shared.config import Settings
from shared.jobs.broker import read_messages_with_care
from shared.jobs.contracts import CHARGE_QUEUE

# A message lives for seconds; one that is not acknowledged by then is delivered again, which the
# claim makes harmless. It must exceed the longest task: send window, total timeout and settlement.
VISIBILITY_TIMEOUT_FACTOR = 3


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration for these settings."""
    read_messages_with_care()
    longest_task_s = settings.send_window_s + settings.gateway_total_timeout_s
    broker_url = settings.redis_url.get_secret_value()
    return {
        "broker_url": broker_url,
        # Flower reads TLS from here only, and Celery trusts any server whose URL leaves it open.
        "broker_use_ssl": _tls(broker_url),
        "broker_connection_retry_on_startup": True,
        # Never give up on the broker: rows are kept, and whoever waits loses nothing.
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "visibility_timeout": max(60, int(VISIBILITY_TIMEOUT_FACTOR * longest_task_s)),
            # Look for unacknowledged messages every 10 s, not every 100 s.
            "unacked_restore_throttle": 1,
            "socket_timeout": 30.0,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        # Messages are hostile input: JSON only, never pickle.
        "task_serializer": "json",
        "accept_content": ["json"],
        "event_serializer": "json",
        "enable_utc": True,
        "timezone": "UTC",
        "task_default_queue": CHARGE_QUEUE,
        # Outcomes are rows; a result backend would be a second truth that grows.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # A message is done when its work is, also when the process dies in between.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # Waits are rows (``next_attempt_at``, ``inquire_at``), never an ETA in a worker's memory.
        "worker_eta_task_limit": 1_000,
        # On SIGTERM let requests under way end before anything is given back.
        "worker_soft_shutdown_timeout": settings.gateway_total_timeout_s + 5.0,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Whole bodies of messages would end up in logs.
        "worker_consumer": "shared.jobs.quiet:QuietConsumer",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Flower lives from these; they cost one message a batch, not one a charge.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "task_track_started": True,
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.1,
            "interval_step": 0.3,
            "interval_max": 1.0,
        },
        "beat_scheduler": "scheduler.leader:LeaderScheduler",
    }


def _tls(broker_url: str) -> dict[str, Any] | None:
    """Return a broker's options of TLS as its URL says them, or None where it asks for none.

    What the URL leaves open is checked, as every other client of ours does it.
    """
    if not broker_url.startswith("rediss://"):
        return None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **parse_url(broker_url).get("ssl", {})}
