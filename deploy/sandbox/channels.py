"""`GET /users/pg`: the merchant's channels."""

from deploy.sandbox.annotations import PG_ID, PG_PROVIDER
from deploy.sandbox.calls import Call
from deploy.sandbox.replies import Reply, processed, to_json
from deploy.sandbox.settings import ChannelSetting
from deploy.sandbox.state import Sandbox


def channels(sandbox: Sandbox, _call: Call) -> Reply:
    """Answer with what the settings say, or with the one channel that all payments are made by."""
    settings = sandbox.settings
    shown = settings.channels
    if shown is None:
        only = ChannelSetting(
            pg_provider=PG_PROVIDER,
            pg_id=PG_ID,
            sandbox=settings.test_channel,
            channel_name="sandbox",
            channel_key="channel-key-sandbox-naverpay",
        )
        shown = (only,)
    return processed(to_json([channel.model_dump() for channel in shown]))
