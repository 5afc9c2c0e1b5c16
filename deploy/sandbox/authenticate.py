"""`POST /users/getToken`: the credentials of a merchant for an access token."""

import asyncio

from deploy.sandbox import texts
from deploy.sandbox.bodies import BadBodyError, read_parameters
from deploy.sandbox.calls import Call
from deploy.sandbox.census import GET_TOKEN
from deploy.sandbox.endings import NO_DRAW, draw
from deploy.sandbox.replies import Reply, failed, processed, to_json
from deploy.sandbox.state import Sandbox


async def serve(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with the live token; wrong and missing credentials are both 401."""
    settings = sandbox.settings
    nth = sandbox.census.endpoints[GET_TOKEN]
    drawn = draw(settings.seed, call.path, nth) if settings.draws else NO_DRAW
    delay_s = settings.latency_s(GET_TOKEN, drawn.latency)
    if delay_s:
        await asyncio.sleep(delay_s)
    try:
        given = read_parameters(call.body, call.content_type).values
    except BadBodyError as error:
        return failed(error.status, f"{texts.SANDBOX}{error}")
    if not sandbox.tokens.knows(given.get("imp_key"), given.get("imp_secret")):
        return failed(401, texts.UNAUTHORIZED)
    now = sandbox.clock.now()
    token = sandbox.tokens.issue(at=now, life_s=settings.token_ttl_s)
    grant = {"access_token": token.value, "expired_at": int(token.expires_at), "now": int(now)}
    return processed(to_json(grant))
