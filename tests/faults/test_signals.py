"""Seven commands that are killed or asked to stop: nothing is lost, and the end is the same bits.

A child sends itself the signal right before one of its operations on the disk, or is sent it at a
random moment; the same command then goes on, and must leave what it leaves undisturbed.
"""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMANDS, Trials, told
from processes import CODES, Result, left_in_session

SIGNALS = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FOLDERS = ["train", "tune", "knowledge"]  # commands that replace a whole folder
SAVING = ["train", "dream"]  # commands that keep the work of the moment when asked to stop


def operations(trials: Trials, name: str, folder: Path, two_steps: bool = False) -> list[str]:
    """Return the operations on the disk of an undisturbed call."""
    folder.mkdir()
    trials.prepare(name, folder / "out")
    trace = folder / "trace"
    argv = trials.line(name, folder / "out")
    assert trials.zygote.run(argv, trace=str(trace), two_steps=two_steps).code == 0
    return trace.read_text().splitlines()


def stop_and_finish(trials: Trials, name: str, folder: Path, number: int, **how: object) -> Result:
    """Stop a command, look at what is there, and let the same command go on to its end."""
    folder.mkdir()
    out = folder / "out"
    trials.prepare(name, out)
    argv = trials.line(name, out)
    if "seconds" in how:
        result = trials.zygote.stop(argv, number, **how)  # type: ignore[arg-type]
    else:
        result = trials.zygote.run(argv, number=number, **how)
    unborn = -number if "seconds" in how else 0  # it came before the command had begun
    assert result.code in (0, unborn, CODES[number]), result.said
    if result.code == CODES[number] and number != signal.SIGKILL:
        assert told(result) == "worldgpt: stopped; the same command goes on."
    assert not result.orphans
    trials.check_old(name, out)
    trials.finish(name, out)
    return result


def spread(total: int, count: int) -> list[int]:
    """Return ``count`` numbers below ``total``, evenly."""
    return sorted({round((n + 0.5) * total / count) for n in range(count)})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stopped_command_goes_on_as_if_it_never_was(
    trials: Trials, tmp_path: Path, name: str
) -> None:
    """Each signal once, at operations spread over the command; two for the slow commands."""
    total = len(operations(trials, name, tmp_path / "whole"))
    chosen = SIGNALS[::3] if name in ("tune", "dyna") else SIGNALS
    for at, number in zip(spread(total, len(chosen)), chosen, strict=True):
        result = stop_and_finish(trials, name, tmp_path / f"{at}", number, at=at)
        assert result.code == CODES[number]


@pytest.mark.parametrize(
    ("name", "number"),
    [("train", signal.SIGKILL), ("knowledge", signal.SIGKILL), ("knowledge", signal.SIGTERM)],
)
def test_between_the_two_renames_of_a_folder(
    trials: Trials, tmp_path: Path, name: str, number: int
) -> None:
    """Where the disk cannot exchange two folders in one step: the old one is found all the same."""
    done = operations(trials, name, tmp_path / "whole", two_steps=True)
    places = [n for n, line in enumerate(done) if line.split()[3].endswith("/.out.before")]
    for at in (places[-1], places[-1] + 1, places[-1] + 2):
        how = {"at": at, "two_steps": True}
        stop_and_finish(trials, name, tmp_path / f"{at}", number, **how)


@pytest.mark.parametrize("name", SAVING)
def test_the_work_of_the_moment_is_kept(trials: Trials, tmp_path: Path, name: str) -> None:
    """Ctrl-C, SIGTERM and SIGHUP keep more than the last regular save."""
    out = tmp_path / "out"
    argv = [*trials.line(name, out), "--updates", "5000"]
    if name == "dream":
        argv = [*trials.line(name, out), "--steps", "900000", "--save-every", "800000"]
    place = out / "policy.json" if name == "dream" else tmp_path / "out.run" / "state" / "run.json"
    for number in SIGNALS[1:]:
        before = place.read_bytes() if place.exists() else b""
        result = trials.zygote.stop(argv, number, seconds=2)
        assert result.code == CODES[number], result.said
        assert place.read_bytes() != before


@pytest.mark.parametrize("name", ["train", "dream"])
def test_a_closed_terminal_loses_nothing(trials: Trials, tmp_path: Path, name: str) -> None:
    """SIGHUP comes with a terminal that can no longer be written to."""
    done = operations(trials, name, tmp_path / "whole")
    out = tmp_path / "out"
    trials.prepare(name, out)
    ours, theirs = pty.openpty()
    at, terminal = len(done) // 3, os.ttyname(theirs)
    pid = trials.zygote.start(
        trials.line(name, out), at=at, number=signal.SIGSTOP, terminal=terminal
    )
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.02)
    os.close(theirs)
    os.close(ours)  # the kernel sends SIGHUP, and SIGCONT, to the session of the terminal
    result = trials.zygote.wait(pid)
    assert result.code == 129
    trials.check_old(name, out)
    trials.finish(name, out)


def test_nohup_goes_on(trials: Trials, tmp_path: Path) -> None:
    argv = trials.line("knowledge", tmp_path / "out")
    result = trials.zygote.run(argv, at=5, number=signal.SIGHUP, nohup=True)
    assert result.code == 0
    trials.finish("knowledge", tmp_path / "out")


@pytest.fixture
def demo(trials: Trials, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A demo whose dream and control, a process of its own, are both under way."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from toy_worlds import CorridorWorld\n"
        "from worldgpt_env.worlds import register_world\n"
        "from worldgpt_env.training.cli import main\n"
        "register_world(CorridorWorld); sys.exit(main())"
    )
    tests = str(Path(__file__).parents[1])
    argv = ["demo", "--model", str(trials.made / "model"), "--out", str(tmp_path / "demo")]
    argv += ["--steps", "90000000", "--real-steps", "90000000"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, tests, *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_the_control_of_a_demo_ends_with_it(
    demo: subprocess.Popen, tmp_path: Path, number: int
) -> None:
    deadline = time.monotonic() + 300
    while not (tmp_path / "demo" / "dream" / "tensorboard").exists():
        assert time.monotonic() < deadline and demo.poll() is None
        time.sleep(0.1)
    demo.send_signal(number)
    assert demo.wait(60) == CODES[number]
    time.sleep(1)  # the control may save first
    assert not left_in_session(demo.pid)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("number", SIGNALS)
def test_random_moments(trials: Trials, tmp_path: Path, name: str, number: int, request) -> None:
    """Fifteen moments for each command and signal, until one call is through undisturbed."""
    began = time.monotonic()
    operations(trials, name, tmp_path / "whole")
    whole = time.monotonic() - began
    draw, stopped = random.Random(f"{name} {number}"), 0
    for trial in range(15):
        seconds = draw.uniform(0, whole)
        result = stop_and_finish(trials, name, tmp_path / f"{trial}", number, seconds=seconds)
        stopped += result.code == CODES[number]
    print(
        f"\nMEASURED random {name} {signal.Signals(number).name}: {stopped} of 15 stopped, 0 lost"
    )
    assert stopped


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_operation(trials: Trials, tmp_path: Path, name: str) -> None:
    """SIGKILL before each operation on the disk, and each other signal before some."""
    total = len(operations(trials, name, tmp_path / "whole"))
    step = max(1, total // 60)
    for number in SIGNALS:
        places = range(0, total, step if number == signal.SIGKILL else 4 * step)
        for at in places:
            stop_and_finish(trials, name, tmp_path / f"{number}-{at}", number, at=at)
        print(f"\nMEASURED forced {name} {signal.Signals(number).name}: {len(places)}, 0 lost")


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_every_operation_in_two_steps(trials: Trials, tmp_path: Path, name: str) -> None:
    """The same where the disk cannot exchange two folders: all renames, and what is beside them."""
    done = operations(trials, name, tmp_path / "whole", two_steps=True)
    near = {n + by for n, line in enumerate(done) if ".before" in line for by in (-1, 0, 1, 2)}
    for number in SIGNALS:
        for at in sorted(near):
            how = {"at": at, "two_steps": True}
            stop_and_finish(trials, name, tmp_path / f"{number}-{at}", number, **how)
        print(f"\nMEASURED renames {name} {signal.Signals(number).name}: {len(near)}, 0 lost")
