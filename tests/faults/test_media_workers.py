"""Faults of processes that build: they end quietly and clean up when their parent is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

START = """
import sys
from toy_tasks import talk
from worldgpt_env.training.worldnet.builders.process_pool import run_apart
if __name__ == "__main__":
    print("started", flush=True)
    try:
        run_apart(talk, {folder: folder for folder in sys.argv[1:]}, 2, lambda count: None)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def wait_until(done: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_and_print_nothing(
    tmp_path: Path, sent: signal.Signals
) -> None:
    """SIGINT goes to all of them, as Ctrl-C in a terminal does; the others to the parent alone."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (tmp_path / "printed").open("w") as printed:
        parent = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, folders)],
            stdout=subprocess.DEVNULL,
            stderr=printed,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        wait_until(lambda: all((folder / "begun").exists() for folder in folders))
        workers = [int((folder / "begun").read_text()) for folder in folders]
        assert all(alive(worker) for worker in workers)
        if sent is signal.SIGINT:
            os.killpg(parent.pid, sent)
        else:
            parent.send_signal(sent)
        parent.wait(30)
        wait_until(lambda: not any(alive(worker) for worker in workers))
    finally:
        parent.kill()
        parent.wait()
    assert all((folder / "cleaned up").exists() for folder in folders)
    assert (tmp_path / "printed").read_text() == ""
