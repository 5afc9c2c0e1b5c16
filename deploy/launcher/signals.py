"""What Ctrl-C and SIGTERM mean to the launcher: stop once, then hurry."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_hurry = threading.Event()


class Interrupted(BaseException):
    """A person or the system asked the launcher to stop.

    Attributes:
        signum: the signal that asked.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signal.Signals(signum)
        super().__init__(self.signum.name)

    @property
    def status(self) -> int:
        """The exit status shells use for this signal."""
        return 128 + self.signum


def hurry_requested() -> bool:
    """Whether the wish to stop came again while stopping, so that nothing is waited for."""
    return _hurry.is_set()


class StopSignals:
    """While entered, the first stop signal raises Interrupted and any later one asks for hurry."""

    def __init__(self) -> None:
        self._previous: dict[int, signal._HANDLER] = {}
        self._stopping = False

    def __enter__(self) -> Self:
        _hurry.clear()
        for signum in _STOP_SIGNALS:
            handler = signal.getsignal(signum)
            # nohup asked for SIGHUP to be ignored; a background job's SIGINT likewise.
            if handler is not signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def stopping(self) -> None:
        """Say that the end has begun: from now on a stop signal only means hurry."""
        self._stopping = True

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self._stopping:
            _hurry.set()
            return
        self._stopping = True
        raise Interrupted(signum)
