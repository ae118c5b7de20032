"""Forked processes compute with one thread: the threads of their parent did not come along.

Torch keeps a pool of threads from its first parallel operation on. A child made by ``fork`` has the
pool's memory but not its threads, and waits for them for ever at its own first parallel operation.
With one thread there is nothing to wait for. ``AsyncVectorEnv`` and ``SubprocVecEnv`` with their
default start method need this, and N processes of one thread are faster than N of several.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

_STARTED_ANEW = "--multiprocessing-fork", "from multiprocessing.forkserver import main"
"""What stands on the command line of processes that ``spawn`` and ``forkserver`` start."""


def compute_with_one_thread() -> None:
    """Let torch compute with one thread here, if it was loaded before this process was forked."""
    torch = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)  # type: ignore[union-attr]


def protect_children() -> None:
    """Call :func:`compute_with_one_thread` in every process that is forked from now on.

    And here too, if :mod:`multiprocessing` forked this process before the package was imported.
    """
    if not hasattr(os, "register_at_fork"):  # Windows has no fork
        return
    os.register_at_fork(after_in_child=compute_with_one_thread)
    anew = any(mark in word for mark in _STARTED_ANEW for word in sys.orig_argv)
    if multiprocessing.parent_process() is not None and not anew:
        compute_with_one_thread()
