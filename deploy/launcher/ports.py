"""Ports on 127.0.0.1 that are free now and likely to be free again after a restart."""

import errno
import random
import socket

# Below what kernels hand out to outgoing connections (32768 and up on Linux, 49152 on macOS), so
# that no client takes the port of a server that is just being restarted, or connects to itself.
_FIRST_PORT = 15_000
_LAST_PORT = 31_999
_TRIES = 200
HOST = "127.0.0.1"

_random = random.SystemRandom()


def free_port() -> int:
    """A port nobody listens on; another process may still take it before it is used."""
    for _ in range(_TRIES):
        port = _random.randint(_FIRST_PORT, _LAST_PORT)
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
        return int(port)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: a port with old connections in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
