"""Run the sandbox: `python -m deploy.sandbox --imp-key KEY --imp-secret SECRET`."""

import argparse
import asyncio
import gc
import signal
import sys

from deploy.sandbox.server import SandboxServer
from deploy.sandbox.settings import Settings
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk

if sys.platform == "win32":  # where there is no uvloop; the standard loop is only slower
    from asyncio import run
else:
    from uvloop import run


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the first line on stdout is the address."""
    options = _parser().parse_args(arguments)
    tokens = TokenDesk(options.imp_key, options.imp_secret)
    settings = Settings(test_channel=options.test_channel, webhook_url=options.webhook_url)
    # A book of many payments is not garbage: without this, every full collection walks all of it.
    gc.set_threshold(50_000, 50, 1_000)
    return run(_serve(tokens, settings, options.host, options.port))


async def _serve(tokens: TokenDesk, settings: Settings, host: str, port: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = SandboxServer(Sandbox(tokens, settings))
    try:
        bound = await server.start(host, port)
    except OSError as error:
        print(f"sandbox: cannot listen on {host} port {port}: {error}", file=sys.stderr)
        return 1
    shown = f"[{host}]" if ":" in host else host
    print(f"sandbox: http://{shown}:{bound}", flush=True)
    await stop.wait()
    await server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.sandbox",
        description="A PortOne V1 server for tests and demos, with a control API under /_sandbox/.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8787, help="0 takes a free one")
    parser.add_argument("--imp-key", required=True, help="the merchant's REST API key")
    parser.add_argument("--imp-secret", required=True, help="the merchant's REST API secret")
    parser.add_argument("--webhook-url", help="where webhooks go; an address of this machine")
    channel = parser.add_mutually_exclusive_group()
    channel.add_argument(
        "--test-channel",
        action="store_true",
        help="payments have sandbox=true and are hidden without include_sandbox=true",
    )
    channel.add_argument("--live-channel", dest="test_channel", action="store_false")
    parser.set_defaults(test_channel=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
