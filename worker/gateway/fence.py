"""The last gate before a charge: it must not leave late, and we must know whether it has left.

An attempt is claimed with a lease. A worker that was frozen in between must not send when the
lease may be over, so the fence is asked in the same breath in which the bytes are handed over.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import boot_clock_s


class FenceExpired(Exception):  # noqa: N818 - a state of the fence, and reads as one
    """The send window is over; nothing was written."""


@dataclass(frozen=True, slots=True)
class Fence:
    """How long after its claim an attempt may still be sent.

    Attributes:
        claimed_at_s: The claim on ``clock``, taken *before* the claim was committed.
        send_window_s: The time from the claim in which the bytes must leave.
        clock: A clock that counts time asleep; the one ``claimed_at_s`` was read from.
    """

    claimed_at_s: float
    send_window_s: float
    clock: Callable[[], float] = boot_clock_s

    def check(self) -> None:
        """Return while the send window is open.

        Raises:
            FenceExpired: It is over, or the claim was read from another machine's clock.
        """
        elapsed_s = self.clock() - self.claimed_at_s
        if not 0 <= elapsed_s < self.send_window_s:
            message = f"{elapsed_s:.3f} s since the claim, {self.send_window_s:.3f} s are allowed"
            raise FenceExpired(message)


class Departure:
    """One request on its way out: the record of whether bytes of it may have left.

    The record errs to one side only. It turns true when the request has got its connection, and
    back to false only where the request is turned back before its first byte.
    """

    __slots__ = ("_abort", "_fence", "bytes_may_have_left")

    def __init__(self, fence: Fence | None = None) -> None:
        """Wait behind the fence, or behind none for a call that moves no money."""
        self._fence = fence
        self._abort: Callable[[], None] | None = None
        self.bytes_may_have_left = False

    def boards(self, abort: Callable[[], None]) -> None:
        """Note that the request has its connection: from here on, it may be gone.

        ``abort`` drops the connection at once, with whatever of the request still waits in it.
        """
        self._abort = abort
        self.bytes_may_have_left = True

    def leaves(self) -> None:
        """Pass the fence, as the last thing before the first byte is handed over.

        Raises:
            FenceExpired: Too late; the request must stay here.
        """
        if self._fence is not None:
            self._fence.check()

    def stays(self) -> None:
        """Note that it is certain, at the moment of writing, that nothing was written."""
        self.bytes_may_have_left = False

    def abort(self) -> None:
        """Give the request up, wherever it is."""
        if self._abort is not None:
            self._abort()
            self._abort = None
