"""Each fault of a link does to connections what its name says, and passes."""

import errno
import socket
import threading
from collections.abc import Iterator

import pytest

from deploy.launcher.ports import HOST
from deploy.launcher.waiting import wait_until
from tests.chaos.plan import Deed, Kind
from tests.chaos.weather import Weather

UPWARDS, DOWNWARDS = 0.0, 0.9


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that says everything back."""

    def answer(client: socket.socket) -> None:
        with client:
            try:
                while said := client.recv(65_536):
                    client.sendall(said)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    server = socket.create_server((HOST, 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()
    # A blocked accept does not hear of a close.
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.fixture
def weather(echo: tuple[str, int]) -> Iterator[Weather]:
    """One link to it."""
    running = Weather({"gateway": echo}, seed=1)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(weather: Weather) -> Iterator[socket.socket]:
    """A connection through the link that works."""
    with connect(weather) as connection:
        assert say(connection, b"hello") == b"hello"
        yield connection


def connect(weather: Weather) -> socket.socket:
    return socket.create_connection((HOST, weather.links["gateway"].port), timeout=5)


def say(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    heard = b""
    while len(heard) < len(words):
        part = connection.recv(65_536)
        if not part:
            return heard
        heard += part
    return heard


def begin(weather: Weather, kind: Kind, strength: float = 0.5, for_s: float = 60.0) -> None:
    weather.begin(Deed(0.0, kind, "gateway", for_s, strength=strength))


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def assert_reset(connection: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def assert_fine(weather: Weather) -> None:
    with connect(weather) as again:
        assert say(again, b"again") == b"again"


@pytest.mark.parametrize("kind", [Kind.LATENCY, Kind.THROTTLE])
def test_what_is_slow_comes_whole_and_the_connection_lives_on(
    weather: Weather, client: socket.socket, kind: Kind
) -> None:
    begin(weather, kind, strength=0.1)
    words = bytes(range(256)) * 2

    assert say(client, words) == words
    weather.end()
    assert say(client, words) == words
    assert weather.touched(kind) > 0


@pytest.mark.parametrize("strength", [UPWARDS, DOWNWARDS])
def test_half_open_loses_one_direction_and_is_reset_in_the_end(
    weather: Weather, client: socket.socket, strength: float
) -> None:
    begin(weather, Kind.HALF_OPEN, strength)
    client.sendall(b"lost")

    assert is_silent(client)
    wait_until(lambda: weather.touched(Kind.HALF_OPEN), "bytes are lost", timeout_s=5)
    weather.end()
    assert_reset(client)
    assert_fine(weather)


def test_a_black_hole_takes_connections_in_and_says_nothing(
    weather: Weather, client: socket.socket
) -> None:
    begin(weather, Kind.BLACK_HOLE)
    client.sendall(b"lost")
    with connect(weather) as other:
        other.sendall(b"lost")

        assert is_silent(client)
        assert is_silent(other)
        wait_until(lambda: weather.touched(Kind.BLACK_HOLE) >= 2, "both are lost", timeout_s=5)
        weather.end()
        assert_reset(client)
        assert_reset(other)
    assert_fine(weather)


def test_a_reset_hits_connections_within_its_time(weather: Weather, client: socket.socket) -> None:
    begin(weather, Kind.RESET, for_s=0.1)

    assert_reset(client)
    assert weather.touched(Kind.RESET) == 1
    weather.end()
    assert_fine(weather)


def test_while_a_link_refuses_nobody_is_taken_in(weather: Weather, client: socket.socket) -> None:
    port = weather.links["gateway"].port
    begin(weather, Kind.REFUSE)

    assert_reset(client)
    with socket.socket() as other:
        assert other.connect_ex((HOST, port)) == errno.ECONNREFUSED
    weather.end()
    assert weather.links["gateway"].port == port
    assert_fine(weather)


def test_truncation_ends_a_connection_in_the_middle_of_what_is_said(
    weather: Weather, client: socket.socket
) -> None:
    begin(weather, Kind.TRUNCATE, DOWNWARDS)
    words = b"x" * 1_000
    client.sendall(words)
    heard = b""
    try:
        while part := client.recv(65_536):
            heard += part
    except ConnectionResetError:
        pass

    assert len(heard) < len(words)
    assert weather.touched(Kind.TRUNCATE) == 1
    weather.end()
    assert_fine(weather)


def test_a_fault_hits_only_its_share_of_the_connections(weather: Weather) -> None:
    weather.begin(Deed(0.0, Kind.RESET, "gateway", 60.0, share=0.0))

    assert_fine(weather)
    assert weather.touched(Kind.RESET) == 0
