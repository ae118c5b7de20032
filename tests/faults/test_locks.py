"""Two at once, and a run that is repeated with other settings: one sentence, nothing changed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from commands import COMMANDS, Trials, told

from worldgpt_env.model.safe_io import RunLock

OTHER = {
    "train": ["--seed 1", "--learning-rate 0.001", "--rows 16", "--updates 90"],
    "tune": ["--seed 1", "--learning-rate 0.01", "--rows 16", "--shortest 3"],
    "dream": ["--seed 1", "--horizon 11"],
    "direct": ["--seed 1", "--steps 512"],
    "dyna": ["--seed 1", "--updates 30", "--epsilon 0.2"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_writer_is_told_of_the_first(trials: Trials, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    trials.prepare(name, out)
    with RunLock(out):
        result = trials.zygote.run(trials.line(name, out))
    assert result.code == 2
    assert told(result).startswith(f"worldgpt: {out} is being written by the process {os.getpid()}")
    trials.check_old(name, out)


@pytest.mark.parametrize("name", ["train", "dream"])
def test_the_first_writer_does_not_notice(trials: Trials, tmp_path: Path, name: str) -> None:
    """The first stands still in the middle of a save while the second one tries."""
    out = tmp_path / "out"
    argv = trials.line(name, out)
    first = trials.zygote.start(argv, at=24, number=signal.SIGSTOP)
    number = trials.zygote.started
    while Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.02)
    second = trials.zygote.run(argv)
    assert second.code == 2 and f"process {first}." in told(second)
    os.kill(first, signal.SIGCONT)
    assert trials.zygote.wait(first, number).code == 0
    assert COMMANDS[name].content(out) == trials.whole[name]


def test_one_writer_of_figures(trials: Trials, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text("{}")
    argv = ["evaluate", "--policy", trials.made / "whole-dream", "--episodes", "2"]
    with RunLock(figures):
        result = trials.zygote.run([*argv, "--json", figures])
    assert result.code == 2 and f"process {os.getpid()}" in told(result)
    assert figures.read_text() == "{}"


@pytest.mark.parametrize("name", OTHER)
def test_a_cut_run_does_not_go_on_with_other_settings(
    trials: Trials, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    argv = trials.line(name, out)
    if name == "direct":  # keeps nothing before its end
        assert trials.zygote.run(argv).code == 0
    else:
        at = {"train": 70, "tune": 70, "dream": 20, "dyna": 120}[name]
        assert trials.zygote.run(argv, at=at).code == -9
    for other in OTHER[name]:
        option, value = other.split()
        result = trials.zygote.run([*argv, option, value])
        assert result.code == 2
        said = told(result)
        assert option[2:].replace("-", "_") in said and f", not {value}" in said, said
        assert "--out" in said
    trials.finish(name, out)


def test_a_recording_made_anew_is_another_one(trials: Trials, tmp_path: Path) -> None:
    """The run names its data by their content: a moved recording is the same, a new one is not."""
    argv = trials.line("train", tmp_path / "out")
    assert trials.zygote.run(argv, at=70).code == -9
    place = argv.index("--data") + 1
    moved, anew = tmp_path / "moved", tmp_path / "anew"
    os.symlink(trials.made / "recording", moved)
    collect = ["collect", "--world", "corridor", "--steps", "120", "--out", anew, "--seed", "1"]
    assert trials.zygote.run(collect).code == 0
    result = trials.zygote.run([*argv[:place], str(anew), *argv[place + 1 :]])
    assert result.code == 2 and "data '120 steps of corridor" in told(result)
    assert trials.zygote.run([*argv[:place], str(moved), *argv[place + 1 :]]).code == 0
