"""The commands that run Dalmada: demo, up, down and run."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.launcher import runfile
from deploy.launcher.context import Context
from deploy.launcher.directories import checkout_state, make_directory, scratch_directory
from deploy.launcher.directories import state_directory as find_state_directory
from deploy.launcher.errors import LauncherError, WaitTimeoutError
from deploy.launcher.foreground import run_in_foreground
from deploy.launcher.given import require_given_servers
from deploy.launcher.servers import Servers, start_servers
from deploy.launcher.signals import Interrupted
from deploy.launcher.stack import DEMO_TIMINGS, Addresses, Stack, migrate, running_stack
from deploy.launcher.state import passwords, write_environment
from deploy.launcher.waiting import wait_until

DEMO_MODULE = "deploy.demo"
_DOWN_TIMEOUT_S = 60.0
_UP_POLL_S = 0.25


def demo(context: Context) -> int:
    """Run the demo on a stack of its own, which is gone afterwards."""
    context.ensure_environment()
    with _throw_away(context, "demo") as (stack, servers):
        stack.variables.update(DEMO_TIMINGS)
        with running_stack(stack, servers) as addresses:
            stack.variables.update(_address_variables(addresses))
            context.terminal.say(f"Flower {addresses.flower}")
            try:
                return run_in_foreground(
                    "demo",
                    [context.environment.python, "-m", DEMO_MODULE],
                    env={**context.environment.variables(), **stack.variables},
                    cwd=context.checkout,
                    check=stack.require_alive,
                )
            finally:
                context.signals.stopping()


def run(context: Context) -> int:
    """Run a command beside a private, migrated PostgreSQL and Valkey."""
    if not context.arguments:
        raise LauncherError("run: no command was given", "run -- COMMAND [ARGUMENTS]", status=2)
    context.ensure_environment()
    with _throw_away(context, "run") as (stack, servers):
        stack.variables.update(servers.environment)
        if context.migrate:
            migrate(stack)
        try:
            return run_in_foreground(
                context.arguments[0],
                context.arguments,
                env={**context.environment.variables(), **stack.variables},
                cwd=Path.cwd(),
                check=stack.require_alive,
            )
        finally:
            context.signals.stopping()


def up(context: Context) -> int:
    """Run the stack on data that lasts, until asked to stop."""
    context.ensure_environment()
    state = find_state_directory(context.checkout)
    with runfile.only_run(state), _stop_is_a_good_end():
        require_given_servers(context.environment.python)
        logs = state / "logs" / "up"
        shutil.rmtree(logs, ignore_errors=True)
        servers = start_servers(
            state,
            logs=make_directory(logs),
            terminal=context.terminal,
            durable=True,
            passwords=passwords(state),
            checkout=context.checkout,
        )
        try:
            stack = _stack(context, logs, state, servers)
            with running_stack(stack, servers) as addresses:
                stack.variables.update(_address_variables(addresses))
                _tell(context, state, stack, addresses)
                try:
                    _wait_for_ever(stack)
                finally:
                    context.signals.stopping()
                    context.terminal.say("stopping")
        finally:
            context.signals.stopping()
            (state / "env").unlink(missing_ok=True)
            servers.stop()
    return 0


def down(context: Context) -> int:
    """End the running `up` and wait until all of it is gone."""
    state = find_state_directory(context.checkout)
    current = runfile.current_run(state)
    if current is None:
        context.terminal.say("down: nothing is running")
        return 0
    with context.terminal.step(f"ending up (pid {current.pid})") as step:
        try:
            runfile.end(current, signal.SIGTERM, timeout_s=_DOWN_TIMEOUT_S, check=step.tick)
        except WaitTimeoutError:
            # Its watchdog then ends everything it has started.
            runfile.end(current, signal.SIGKILL, timeout_s=_DOWN_TIMEOUT_S, check=step.tick)
        except PermissionError:
            problem = f"up (pid {current.pid}) belongs to another user"
            raise LauncherError(problem, "end it as the user who started it") from None
        step.result = "down: up has ended"
    return 0


@contextmanager
def _throw_away(context: Context, name: str) -> Iterator[tuple[Stack, Servers]]:
    """Servers on data that is deleted at the end, and a stack to be started on them."""
    require_given_servers(context.environment.python)
    with scratch_directory() as scratch:
        logs = _log_directory(context, name, scratch)
        servers = start_servers(
            scratch, logs=logs, terminal=context.terminal, checkout=context.checkout
        )
        try:
            yield _stack(context, logs, make_directory(scratch / "state"), servers), servers
        finally:
            context.signals.stopping()
            servers.stop()


def _stack(context: Context, logs: Path, state: Path, servers: Servers) -> Stack:
    return Stack(
        environment=context.environment,
        terminal=context.terminal,
        checkout=context.checkout,
        logs=logs,
        state=state,
        variables={"DALMADA_LOG_FORMAT": "json", "DALMADA_STATE_DIR": str(state)},
        children=servers.children,
    )


def _log_directory(context: Context, name: str, scratch: Path) -> Path:
    if os.environ.get("DALMADA_KEEP_LOGS", "") in {"", "0"}:
        return make_directory(scratch / "logs")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    kept = checkout_state(context.checkout) / "logs" / f"{name}-{stamp}-{os.getpid()}"
    context.terminal.say(f"logs are kept in {kept}")
    return make_directory(kept)


def _address_variables(addresses: Addresses) -> dict[str, str]:
    return {
        "DALMADA_SANDBOX_URL": addresses.sandbox,
        "DALMADA_FLOWER_URL": addresses.flower,
        "DALMADA_RECEIVER_URL": addresses.receiver,
    }


def _tell(context: Context, state: Path, stack: Stack, addresses: Addresses) -> None:
    env_file = write_environment(state, stack.variables)
    runfile.note(state, addresses.flower)
    context.terminal.block(
        "\n"
        f"  Flower     {addresses.flower}\n"
        f"  sandbox    {addresses.sandbox}\n"
        f"  webhooks   {addresses.receiver}/webhooks/portone\n"
        f"  operator   . {env_file} && {context.environment.tool('dalmada')} status\n"
        f"  logs       {stack.logs}\n"
        "  end        Ctrl-C here, or `make down` elsewhere\n"
    )


def _wait_for_ever(stack: Stack) -> None:
    wait_until(
        lambda: False,
        "asked to stop",
        timeout_s=float("inf"),
        check=stack.require_alive,
        interval_s=_UP_POLL_S,
    )


@contextmanager
def _stop_is_a_good_end() -> Iterator[None]:
    # Being stopped is how `up` is meant to end, so it is no failure.
    with suppress(Interrupted):
        yield
