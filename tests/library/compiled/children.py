"""Forked children that say whether something is true in them."""

import os
import signal
import warnings

from helpers import HANG


def fork():
    """As `os.fork`, of a child that is ended if it never ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads in the parent, this one's or JAX's
        child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HANG)
    return child


def end_child(work):
    """End this process, a child, and say whether `work()` is true, before pytest goes on in it."""
    code = 2
    try:
        code = 0 if work() else 1
    finally:
        os._exit(code)


def is_true_in_a_child(work):
    child = fork()
    if child == 0:
        end_child(work)
    return ended_well(child)


def ended_well(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
