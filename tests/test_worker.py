"""A worker that is asked to end before it can answer says nothing and goes on."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import textwrap

from qtrace.worker import leave_requests, unasked


def test_a_request_in_a_workers_first_moment_is_its_parents() -> None:
    """The child is asked at once, before it has run anything, and both handlers raise."""
    program = textwrap.dedent(
        f"""
        import multiprocessing, os, signal, time
        from {leave_requests.__module__} import leave_requests, unasked

        def work():
            until = time.monotonic() + 60
            while signal.SIGINT not in signal.sigpending() and time.monotonic() < until:
                pass
            leave_requests()
            print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, flush=True)

        def ask(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, ask)
        child = multiprocessing.get_context("fork").Process(target=work)
        with unasked():
            child.start()
        os.kill(child.pid, signal.SIGINT)
        child.join()
        print(child.exitcode)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["True", "0"], "")


def test_the_parent_has_its_signals_again_after_the_block() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with unasked():
        assert {signal.SIGINT, signal.SIGTERM} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_worker_is_ended_by_sigterm() -> None:
    child = multiprocessing.get_context("fork").Process(target=_asked_for_ever)
    with unasked():
        child.start()
    child.terminate()
    child.join(60)
    assert child.exitcode == -signal.SIGTERM


def _asked_for_ever() -> None:
    leave_requests()
    signal.pause()
