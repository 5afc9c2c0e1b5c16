"""A worker that begins to charge says when the channels are not those that it is set up for."""

from tests.support.system import System, ready


def test_a_worker_that_may_move_real_money_tells_of_test_channels(system: System) -> None:
    system.sandbox.faults(test_channel=True)
    worker = system.worker()

    ready(worker)
    worker.wait_for_log(r"every Naver Pay channel of these keys is for tests", timeout_s=60)
