"""The process: its first line, its options and its end."""

import signal
import socket
import subprocess
import sys

import pytest

from tests.sandbox.client import Launch, WaitUntil


def test_the_first_line_is_the_address_and_nothing_follows(launch: Launch) -> None:
    running = launch()
    gateway = running.gateway

    assert running.first_line == f"sandbox: http://127.0.0.1:{gateway.port}\n"
    assert gateway.call("GET", "/_sandbox/faults").status == 200
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert running.process.stdout is not None
    assert running.process.stdout.read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal_although_clients_hang(
    launch: Launch, wait_until: WaitUntil, number: signal.Signals
) -> None:
    running = launch()
    gateway = running.gateway
    gateway.register("buyer", "slow")
    gateway.behave(then="hang")
    gateway.behave(then={"ending": "slow", "delay_s": 300}, customer_uid="slow")
    address = (gateway.host, gateway.port)
    with (
        socket.create_connection(address) as hanging,
        socket.create_connection(address) as slow,
        socket.create_connection(address),
    ):
        hanging.sendall(gateway.again_bytes())
        slow.sendall(gateway.again_bytes(customer_uid="slow", merchant_uid="m2"))
        wait_until(lambda: gateway.counts()["in_flight"] == 2)
        running.process.send_signal(number)

        assert running.process.wait(10) == 0
    assert running.errors.read_text() == ""


def test_a_test_channel_can_be_chosen_at_the_start_and_survives_a_reset(launch: Launch) -> None:
    gateway = launch("--test-channel").gateway
    gateway.reset()
    payment = gateway.again().response

    assert payment["sandbox"] is True
    assert gateway.get(f"/payments/{payment['imp_uid']}").status == 404
    assert gateway.get("/subscribe/customers/buyer").response["sandbox"] is True


def test_a_live_channel_is_the_default_and_can_be_named(launch: Launch) -> None:
    assert launch("--live-channel").gateway.control("GET", "faults")["test_channel"] is False


def test_two_sandboxes_know_nothing_of_each_other(launch: Launch) -> None:
    one, two = launch().gateway, launch().gateway
    one.register("buyer")

    assert one.again().code == 0
    assert two.again().code == 1
    assert two.call("GET", "/payments/imps_1", headers=one.bearer).status == 401


def test_a_port_in_use_is_said_in_one_line(launch: Launch, pytestconfig: pytest.Config) -> None:
    port = launch().gateway.port
    command = [sys.executable, "-m", "deploy.sandbox", "--port", str(port)]
    command += ["--imp-key", "k", "--imp-secret", "s"]
    root = pytestconfig.rootpath
    ended = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"sandbox: cannot listen on 127.0.0.1 port {port}: ")
    assert len(ended.stderr.splitlines()) == 1
