"""A worker that dies of one command, as of a fault that takes the whole process along."""

import os
import signal

from worker import app as worker_app
from worker.services.command_desk import CommandDesk

DEADLY = "deadly-1"
app = worker_app.app
_command = CommandDesk.command


async def _die(self: CommandDesk, command: object) -> str:
    if getattr(command, "command_id", None) == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return await _command(self, command)  # type: ignore[arg-type]


CommandDesk.command = _die  # type: ignore[method-assign]
