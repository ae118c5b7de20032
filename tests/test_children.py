"""Children of tests: signals reach them, and nothing of them is left."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import pytest

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
OTHER_WAYS = {
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output"),
    *("subprocess.check_call", "os.fork", "os.popen", "os.system"),
}
GRANDCHILD = f"""
import subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.DEVNULL)
print(grandchild.pid, flush=True)
grandchild.wait()
"""


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


@pytest.fixture
def deaf() -> None:
    """Ignore and block what a suite in the background, or under nohup, inherits as ignored."""
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM], ids=lambda n: n.name
)
def test_signals_reach_a_child_whoever_started_the_suite(
    deaf: None, number: signal.Signals
) -> None:
    with children.child(
        [sys.executable, "-c", SLEEP], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        child.send_signal(number)
        _, said = child.communicate(timeout=20)
    assert child.returncode == -number
    assert ("KeyboardInterrupt" in said) == (number == signal.SIGINT)


def test_a_failing_test_leaves_neither_child_nor_grandchild() -> None:
    command = [sys.executable, "-c", GRANDCHILD]
    with (
        pytest.raises(AssertionError, match="as tests do"),
        children.child(command, stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert is_running(child.pid) and is_running(grandchild)
        raise AssertionError("as tests do")
    assert child.returncode == -signal.SIGKILL
    wait_until_gone(grandchild)


def test_a_child_that_takes_too_long_is_gone() -> None:
    with pytest.raises(subprocess.TimeoutExpired) as late:
        children.run([sys.executable, "-c", SLEEP + "#unlike any other"], timeout=1)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            assert b"#unlike any other" not in (folder / "cmdline").read_bytes(), late
        except OSError:
            continue


def test_a_child_dies_with_the_suite() -> None:
    suite = f"""
import subprocess, sys
import children
with children.child([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.PIPE) as child:
    child.stdout.readline()
    print(child.pid, flush=True)
    child.wait()
"""
    here = Path(__file__).parent
    with children.child([sys.executable, "-c", suite], stdout=subprocess.PIPE, cwd=here) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        os.kill(parent.pid, signal.SIGKILL)
        wait_until_gone(pid)


def test_what_a_child_prints_and_its_exit_code_come_back() -> None:
    with pytest.raises(AssertionError, match=r"(?s)exit code 1.*EOFError"):
        children.run_well([sys.executable, "-c", "input()"])  # nothing is typed into it
    code = "import sys; print('yes'); print('no', file=sys.stderr); sys.exit(3)"
    done = children.run([sys.executable, "-c", code])
    assert (done.returncode, done.stdout, done.stderr) == (3, "yes\n", "no\n")
    assert children.run_well(["echo", "good"]) == "good\n"


def test_no_test_starts_a_process_in_another_way() -> None:
    for path in Path(__file__).parent.glob("**/*.py"):
        if path.name in ("children.py", "installed.py"):  # the second runs alone, without pytest
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                assert name not in OTHER_WAYS, f"{path.name}:{node.lineno} {name}: use children"
