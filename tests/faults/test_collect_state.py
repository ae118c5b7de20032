"""The resume state of collect: damage is repaired or told in a sentence, and two never write it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door_samples import Walk, damaged, equal

from worldgpt_env.model.errors import LockedError, WorldGPTError
from worldgpt_env.model.safe_io import RunLock
from worldgpt_env.training import part_files, shelf
from worldgpt_env.training.cli import main
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.episode import RecordingWarning
from worldgpt_env.training.recording import Recording, RecordingError
from worldgpt_env.worlds import registry

STEPS, CUT = 40, 27  # episodes of four steps; the seventh is cut short


class Cut(Walk):
    """A world that raises Ctrl-C in its step ``left``."""

    left = CUT

    def _step(self, action: int) -> Any:
        type(self).left -= 1
        if type(self).left < 0:
            raise KeyboardInterrupt
        return super()._step(action)


@pytest.fixture(autouse=True)
def walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``walk`` open the small world."""
    monkeypatch.setitem(registry._WORLDS, "walk", Walk)


def config(out: Path, **changes: Any) -> CollectConfig:
    return CollectConfig(
        **({"world": "walk", "steps": STEPS, "out": str(out), "seed": 3} | changes)
    )


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording that Ctrl-C stopped in its seventh episode."""
    with monkeypatch.context() as patch:
        patch.setitem(registry._WORLDS, "walk", type("Once", (Cut,), {}))
        with pytest.raises(KeyboardInterrupt):
            collect(config(tmp_path / "state"))
    kept = sorted(path.name for path in (tmp_path / "state" / "parts").iterdir())
    assert kept == [f"{number:06d}.npz" for number in range(6)]
    return tmp_path / "state"


@pytest.fixture
def whole(tmp_path: Path) -> Recording:
    """The same recording, never stopped."""
    collect(config(tmp_path / "whole"))
    return Recording.load(tmp_path / "whole")


def same(folder: Path, whole: Recording) -> bool:
    """Return whether ``folder`` holds the whole recording, and nothing else."""
    found = Recording.load(folder)
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert (found.world, found.specs, found.action_spec) == (
        whole.world,
        whole.specs,
        whole.action_spec,
    )
    return all(equal(a, b) for a, b in zip(found.episodes, whole.episodes, strict=True))


def go_on(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Repeat the command; return its figures, and the sentences of its warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figures = collect(config(folder))
    assert all(issubclass(one.category, RecordingWarning) for one in told)
    return figures, [str(one.message) for one in told]


# every kind of damage ---------------------------------------------------------------------------


def mutations(file: Path, count: int, draw: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Give damage to ``file`` as bytes; as None: it is gone; as "folder": a folder is there."""
    data = file.read_bytes()
    yield from (("gone", None), ("folder", "folder"), ("empty", b""), ("zeros", bytes(len(data))))
    yield from (("json", b"{}"), ("list", b"[1]"), ("deep", b"[" * 100_000), ("zip", b"PK\3\4"))
    yield from (("pickle", b"\x80\4N."), ("noise", draw.bytes(len(data))), ("more", data + b"x"))
    for number in range(count):
        yield f"random {number}", damaged(data, draw)


def apply(file: Path, change: bytes | str | None) -> None:
    if change is None or change == "folder":
        file.unlink()
        if change == "folder":
            file.mkdir()
    else:
        assert isinstance(change, bytes)
        file.write_bytes(change)


FILES = ("collect.json", "parts/000000.npz", "parts/000003.npz", "parts/000005.npz")


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_every_damage_of_the_state_is_repaired_or_told(
    name: str, count: int, state: Path, whole: Recording, tmp_path: Path
) -> None:
    draw, outcomes = np.random.default_rng([count, FILES.index(name)]), Counter[str]()
    folder = tmp_path / "damaged"
    for kind, change in mutations(state / name, count, draw):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(state, folder)
        apply(folder / name, change)
        try:
            figures, told = go_on(folder)
        except WorldGPTError as error:  # anything else fails the test with its traceback
            assert kind == "folder", f"{kind}: {error}"
            assert "\n" not in str(error) and name in str(error), error
            continue
        assert same(folder, whole), f"{kind}: silent"
        again = figures["new_steps"] - (STEPS - 24)
        assert again == 4 * len(told) or (name, kind) == ("parts/000005.npz", "gone")
        assert all(f"{folder / name} is " in one and "again" in one for one in told)
        outcomes["repaired" if told else "harmless"] += 1
    if name == "collect.json":  # the parts say themselves what they are: nothing is lost
        assert outcomes["repaired"] == 0
    else:
        assert outcomes["repaired"] > 4 * outcomes["harmless"]


def test_more_than_one_damaged_episode_is_recorded_again(state: Path, whole: Recording) -> None:
    for number in (1, 2, 4):
        (state / "parts" / f"{number:06d}.npz").write_bytes(b"")
    figures, told = go_on(state)
    assert [one.split("/")[-1][:6] for one in told] == ["000001", "000002", "000004"]
    assert figures["new_steps"] == STEPS - 12 and same(state, whole)


def test_what_a_killed_process_leaves_is_no_obstacle(
    state: Path, whole: Recording, tmp_path: Path
) -> None:
    (state / "parts" / "000006.draft").write_bytes(b"half an epi")
    (state / ".collect.json.0123abcd.draft").write_text("{")
    (state / ".data.0123abcd.draft").mkdir()
    (state / ".draft" / "walk").mkdir(parents=True)  # of an older version
    assert go_on(state)[1] == [] and same(state, whole)
    (tmp_path / "begun" / "parts").mkdir(parents=True)  # killed before collect.json was there
    assert go_on(tmp_path / "begun")[1] == [] and same(tmp_path / "begun", whole)


def test_parts_of_another_recording_are_never_taken(state: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(state, other)
    shutil.copy(other / "parts/000001.npz", state / "parts/000002.npz")
    with pytest.raises(RecordingError, match="000002.npz cannot be gone on with.* not of this"):
        collect(config(state))
    shutil.copy(other / "parts/000002.npz", state / "parts/000002.npz")
    for command in ({"seed": 4}, {"steps": 41}, {"policy": "least-tried"}):
        with pytest.raises(RecordingError, match=f"{next(iter(command))} .*--out"):
            collect(config(state, **command))
        (state / "collect.json").unlink()  # the parts themselves know
        with pytest.raises(RecordingError, match="not of this recording|least-tried"):
            collect(config(state, **command))
        shutil.copy(other / "collect.json", state / "collect.json")
    assert sorted(path.name for path in (state / "parts").iterdir()) == [
        f"{number:06d}.npz" for number in range(6)
    ]


def older(state: Path) -> None:
    """Turn a state into one of the first version: settings as they are, parts without identity."""
    told = json.loads((state / "collect.json").read_text())
    (state / "collect.json").write_text(json.dumps(told["settings"], indent=1))
    for path in (state / "parts").iterdir():
        with np.load(path) as part:
            arrays = {name: part[name] for name in part.files if name != part_files.RECORDING}
        with path.open("wb") as file:
            np.savez(file, **arrays)


def test_a_recording_that_an_older_version_began_goes_on(state: Path, whole: Recording) -> None:
    older(state)
    (state / "parts/000002.npz").write_bytes(b"")
    assert len(go_on(state)[1]) == 1 and same(state, whole)


def test_parts_of_which_nothing_says_what_they_are_stay_where_they_are(
    state: Path, whole: Recording
) -> None:
    older(state)
    before = (state / "collect.json").read_text()
    for change in ("", "{", "[]", None):
        (state / "collect.json").unlink()
        if change is not None:
            (state / "collect.json").write_text(change)
        with pytest.raises(RecordingError, match="collect.json is missing or damaged.* 6 episodes"):
            collect(config(state))
        (state / "collect.json").write_text(before)
    assert go_on(state)[1] == [] and same(state, whole)


def test_episodes_that_do_not_fit_the_world_as_it_is_now_are_told(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed(Walk):
        spec = type(Walk.spec)(("place", "time"), (0.0, 0.0), (5.0, 3.0))

    monkeypatch.setitem(registry._WORLDS, "walk", Changed)
    with pytest.raises(RecordingError, match="000000.npz .*time 4.0.* Another version"):
        collect(config(state))
    assert len(list((state / "parts").iterdir())) == 6


# finished recordings ----------------------------------------------------------------------------


def test_a_dataset_that_was_damaged_before_its_parts_were_removed_is_made_anew(
    state: Path, whole: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shelf.Shelf, "clear", lambda self: None)  # killed there
        go_on(state)
    assert {path.name for path in state.iterdir()} == {"data", "parts", "collect.json"}
    path = state / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-100])
    figures, told = go_on(state)
    assert figures["new_steps"] == 0 and "made anew of its parts" in told[0]
    assert same(state, whole)


def test_a_damaged_dataset_is_not_called_finished(state: Path) -> None:
    go_on(state)
    assert go_on(state)[0]["new_steps"] == 0
    path = state / "data" / "main_data.hdf5"
    data = path.read_bytes()
    for change in (data[:-1], data[:100] + b"x" + data[101:], b""):
        path.write_bytes(change)
        with pytest.raises(RecordingError, match="damaged.*move it away, and repeat the command"):
            collect(config(state))
        assert path.read_bytes() == change
    path.write_bytes(data)
    assert go_on(state)[0]["new_steps"] == 0


def test_a_finished_recording_needs_no_place_to_write(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on(state)
    monkeypatch.setattr("worldgpt_env.training.collect.RunLock", None)
    assert collect(config(state))["new_steps"] == 0


# the disk ---------------------------------------------------------------------------------------


def test_episodes_are_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda n: (flushed.append(os.readlink(f"/proc/self/fd/{n}")), sync(n))[1]
    )
    monkeypatch.setattr(shelf, "FLUSH_EVERY", 0.0)  # each at once
    folder = (tmp_path / "r").resolve()
    collect(config(folder))
    parts = [f"{folder}/parts/{number:06d}.npz" for number in range(10)]
    assert [name for name in flushed if name.endswith(".npz")] == parts
    first = flushed.index(parts[0])
    assert (
        any("collect.json" in name for name in flushed[:first]) and str(folder) in flushed[:first]
    )
    assert f"{folder}/parts" in flushed and any("main_data.hdf5" in name for name in flushed)


def test_what_is_not_flushed_yet_is_flushed_when_the_command_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(shelf, "FLUSH_EVERY", 1e9)
    monkeypatch.setattr(shelf, "flush", lambda paths: asked.append([p.name for p in paths]))
    monkeypatch.setitem(registry._WORLDS, "walk", type("Once", (Cut,), {}))
    with pytest.raises(KeyboardInterrupt):
        collect(config(tmp_path / "r"))
    assert asked == [[f"{number:06d}.npz" for number in range(6)]]


# two at once, and signals -----------------------------------------------------------------------


def test_the_second_of_two_says_so_and_changes_nothing(
    state: Path, whole: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    command = [
        "collect",
        "--world",
        "walk",
        "--steps",
        str(STEPS),
        "--seed",
        "3",
        "--out",
        str(state),
    ]
    with RunLock(state):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert re.fullmatch(r"worldgpt: .*state is being written by .*\n", said)
        with pytest.raises(LockedError):
            whole.save(state)
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before
    assert main(command) == 0 and same(state, whole)
    assert not list(state.parent.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_costs_the_running_episode_at_most(number: int, tmp_path: Path) -> None:
    pytest.importorskip("minigrid")
    command = [sys.executable, "-m", "worldgpt_env", "collect", "--world", "doorkey"]
    command += ["--steps", "4000", "--world-options", "max_steps=40", "--out", str(tmp_path / "r")]

    def defaults() -> None:  # whoever started the tests may have told them to ignore some
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=defaults)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("r/parts/*.npz"))) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        second = main([*command[3:]])  # at the same time, into the same folder
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert second == 2
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), said
    assert number == signal.SIGKILL or said.endswith("stopped; the same command goes on.\n")
    kept = len(list(tmp_path.glob("r/parts/*.npz")))
    left = [p.name for p in tmp_path.rglob("*") if "draft" in p.name or "lock" in p.name]
    assert kept >= 3 and (number == signal.SIGKILL or left == [])
    options = {"max_steps": 40}
    figures = collect(CollectConfig("doorkey", 4000, str(tmp_path / "r"), world_options=options))
    assert figures["new_steps"] < 4000
    collect(CollectConfig("doorkey", 4000, str(tmp_path / "whole"), world_options=options))
    assert same(tmp_path / "r", Recording.load(tmp_path / "whole"))
