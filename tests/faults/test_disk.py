"""Full and read-only disks: one sentence, exit code 2, the old result whole, and on when mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMANDS, Trials, told
from disks import Disk, small_disk

EARLY = {"train": 200, "tune": 200, "dream": 16, "direct": 16, "knowledge": 4, "dyna": 40}
"""KiB that are gone when each command is under way."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 64 MiB."""
    with small_disk(tmp_path / "disk") as found:
        yield found


def fail_and_finish(trials: Trials, name: str, disk: Disk, room: int) -> bool:
    """Run a command with ``room`` KiB left; return whether that was too little."""
    out = disk.folder / "out"
    trials.prepare(name, out)
    result = trials.zygote.run(trials.line(name, out), **disk.leave(room))
    failed = result.code != 0
    if failed:
        assert result.code == 2, result.said
        assert any(part in told(result) for part in ("No space left", "File too large", "room"))
        trials.check_old(name, out)
    disk.clear()
    trials.finish(name, out)
    return failed


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(trials: Trials, disk: Disk, name: str) -> None:
    assert fail_and_finish(trials, name, disk, EARLY.get(name, 20))


def test_a_disk_without_any_room(trials: Trials, disk: Disk) -> None:
    assert fail_and_finish(trials, "dream", disk, 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk(trials: Trials, disk: Disk, name: str) -> None:
    if not disk.mounted and not _modes_count(disk.folder):
        pytest.skip("root may write anywhere, and may not mount a disk here")
    out = disk.folder / "out"
    trials.prepare(name, out)
    disk.set_writable(False)
    result = trials.zygote.run(trials.line(name, out))
    assert result.code == 2 and ("ead-only" in told(result) or "ermission" in told(result))
    trials.check_old(name, out)


def test_figures_need_room_too(trials: Trials, disk: Disk) -> None:
    figures = disk.folder / "figures.json"
    policy = trials.made / "whole-dream"
    argv = ["evaluate", "--policy", policy, "--episodes", "2", "--json", figures]
    assert trials.zygote.run(argv).code == 0
    before = figures.read_bytes()
    result = trials.zygote.run(argv, **disk.leave(0))
    assert result.code == 2 and "figures.json could not be written" in told(result)
    disk.clear()
    assert figures.read_bytes() == before and json.loads(before)["episodes"] == 2
    if disk.mounted:
        disk.set_writable(False)
        result = trials.zygote.run(argv)
        assert result.code == 2 and "figures.json" in told(result)
        assert figures.read_bytes() == before


def _modes_count(folder: Path) -> bool:
    """Return whether the modes of folders hold this user back."""
    trial = folder / "trial"
    trial.mkdir(mode=0o555)
    try:
        (trial / "file").touch()
    except PermissionError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_any_room(trials: Trials, tmp_path: Path, name: str) -> None:
    """From no room at all to enough of it."""
    failed = 0
    for room in [0, 4, 8, 12] + [round(16 * 1.4**n) for n in range(22)]:
        with small_disk(tmp_path / "disk") as disk:
            if not fail_and_finish(trials, name, disk, room):
                break
            failed += 1
        (tmp_path / "disk").rmdir()
    print(f"\nMEASURED full {name}: {failed}, 0 lost")
    assert failed >= 3
