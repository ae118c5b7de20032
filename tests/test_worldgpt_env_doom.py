"""The Doom rooms: sound, ends, words, and a process that is never left behind."""

from __future__ import annotations

import ctypes.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import children
import numpy as np
import pytest

pytest.importorskip("vizdoom")

import gymnasium as gym
import vizdoom

from worldgpt_env import make_world
from worldgpt_env.errors import ConfigurationError
from worldgpt_env.worlds import WorldError, doom, doom_process
from worldgpt_env.worlds.doom_rooms import DoomRoom

WAIT, ATTACK, RIGHT, LEFT = range(4)
ROOMS = ("doom-basic", "doom-audio", "doom-words")
REWARDS = {-4.0, -9.0, -53.0, -58.0, *(float(r) for r in range(88, 100)), -1.0, -2.0, -3.0}


def open_room(name: str, **options: object) -> DoomRoom:
    world = make_world(name, **options)
    assert isinstance(world, DoomRoom)
    return world


@pytest.fixture(scope="module", params=ROOMS)
def room(request: pytest.FixtureRequest) -> Iterator[DoomRoom]:
    world = open_room(request.param, caption=True)
    yield world
    world.close()


@pytest.fixture(scope="module")
def audio() -> Iterator[DoomRoom]:
    world = open_room("doom-audio", caption=True)
    yield world
    world.close()


def process_of(world: DoomRoom) -> int:
    """Return the process id of the game."""
    folder = world._stop.peek()[2][1].name  # type: ignore[index]
    return int(Path(folder, "process").read_text().split()[0])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, f"the game {pid} is still running"
        time.sleep(0.05)


def test_a_time_out_is_truncated_and_shows_the_last_moment_again(room: DoomRoom) -> None:
    room.reset(seed=0)
    for _ in range(74):
        before, reward, terminated, truncated, _ = room.step(WAIT)
        assert (reward, terminated, truncated) == (-4.0, False, False)
    after, reward, terminated, truncated, info = room.step(WAIT)
    assert (reward, terminated, truncated) == (-4.0, False, True)
    assert after["image"].any()
    assert np.array_equal(after["image"], before["image"])
    assert np.array_equal(after["audio"], before["audio"])
    assert info["text"].startswith("ammo 50 gun ready")


def test_a_kill_is_the_end_of_the_world(room: DoomRoom) -> None:
    kills = 0
    for seed in range(40):
        room.reset(seed=seed)
        rewards, ended = [], False
        while not ended:
            observation, reward, terminated, truncated, info = room.step(ATTACK)
            assert reward in REWARDS, reward
            rewards.append(reward)
            ended = terminated or truncated
        assert terminated is not truncated
        assert observation["image"].any()
        if terminated:
            kills += 1
            assert max(rewards[-2:]) > 87
            if room.world_name != "doom-words":
                assert "monster dead" in info["text"]
            ammo = int(info["text"].split()[1])
            assert ammo == observation["vector"][0] < 50
    assert kills > 0, "no monster stood ahead in 40 episodes"


def test_a_shot_is_heard_and_told_when_it_is_fired(room: DoomRoom) -> None:
    room.reset(seed=0)
    loud, fired, ammo = [], [], 50
    for action in [WAIT, ATTACK] + [WAIT] * 8:
        observation, reward, *_, info = room.step(action)
        loud.append(float(np.abs(observation["audio"]).max()))
        fired.append(int(info["text"].split()[1]) < ammo)
        assert (reward in (-9.0, -58.0)) == fired[-1] or room.world_name == "doom-words"
        ammo = int(info["text"].split()[1])
        assert ("gun ready" in info["text"]) == bool(observation["vector"][1])
    assert sum(fired) == 1 and max(loud[: fired.index(True) + 1]) == loud[fired.index(True)] > 0.3


def test_the_invisible_monster_is_heard_on_its_side(audio: DoomRoom) -> None:
    sides: dict[str, list[float]] = {"left": [], "right": [], "ahead": []}
    for seed in range(25):
        observation, info = audio.reset(seed=seed)
        left, right = np.square(observation["audio"].astype(np.float64)).mean(0)
        sides[info["text"].split()[-1]].append(float(np.log(left / right)))
    assert min(sides["left"]) > max(sides["ahead"], default=0) and min(sides["left"]) > 0
    assert max(sides["right"]) < min(sides["ahead"], default=0) and max(sides["right"]) < 0


def test_the_monster_is_seen_in_the_basic_room_only() -> None:
    starts = {}
    for name in ("doom-basic", "doom-audio"):
        world = open_room(name)
        starts[name] = [world.reset(seed=seed)[0]["image"].astype(int) for seed in range(4)]
        world.close()
    assert all(np.array_equal(image, starts["doom-audio"][0]) for image in starts["doom-audio"])
    for image, empty in zip(starts["doom-basic"], starts["doom-audio"], strict=True):
        rows, columns = np.nonzero(np.abs(image - empty).max(-1) > 20)
        assert len(rows) >= 12, "the monster is lost in the small image"
        assert np.ptp(columns) <= 7 and np.ptp(rows) <= 9


def test_the_caption_is_off_by_default_and_right_when_on(audio: DoomRoom) -> None:
    world = open_room("doom-audio")
    _, info = world.reset(seed=0)
    world.close()
    assert info["text"] == "ammo 50 gun busy monster alive"
    for seed in range(10):
        _, info = audio.reset(seed=seed)
        side = info["text"].split()[-1]
        if side != "ahead":
            way = {"left": LEFT, "right": RIGHT}[side]
            for _ in range(60):
                *_, info = audio.step(way)
                if info["text"].endswith("ahead"):
                    break
            else:
                raise AssertionError("never came to stand before the monster")


def test_what_the_game_says_stays_until_the_next_episode() -> None:
    world = open_room("doom-words")
    try:
        for seed in range(3):
            assert world.reset(seed=seed)[1]["text"] == "ammo 50 gun busy kills 0"
            said = [world.step(WAIT)[4]["text"].split()[6:] for _ in range(10)]
            assert said[0][0] == "shoot" and said[0][1] in ("demon", "cacodemon", "doomimp")
            assert all(words == said[0] for words in said)
    finally:
        world.close()


def test_options_change_the_observation() -> None:
    world = open_room("doom-basic", image_size=(96, 128), variables=("health", "position"))
    try:
        observation, _ = world.reset(seed=0)
        assert observation["image"].shape == (96, 128, 3)
        assert observation["vector"].tolist() == [100.0, 32.0]
        assert observation in world.observation_space
    finally:
        world.close()
    for options in ({"image_size": (50, 64)}, {"variables": ("armor",)}, {"variables": ()}):
        with pytest.raises(ConfigurationError):
            make_world("doom-basic", **options)


def test_numbers_stay_in_their_bounds_at_the_walls() -> None:
    world = open_room("doom-basic")
    try:
        for way in (LEFT, RIGHT):
            world.reset(seed=0)
            positions = []
            for _ in range(75):
                observation = world.step(way)[0]
                assert observation in world.observation_space
                positions.append(observation["vector"][2])
            assert positions[-1] == positions[-10], "the wall was reached"
    finally:
        world.close()


def test_actions_and_rewards_are_those_of_the_gymnasium_world_of_vizdoom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it writes files where it stands
    from vizdoom import gymnasium_wrapper  # noqa: F401

    theirs = gym.make(
        "VizdoomBasic-v1", frame_skip=4, screen_resolution="RES_160X120", disable_env_checker=True
    )
    ours = open_room("doom-basic")
    try:
        for seed in range(3):
            screen, _ = theirs.reset(seed=seed)  # draws the seed of the game as our world does
            ours.reset(seed=seed)
            assert np.array_equal(screen["screen"], ours.render())
            generator, ended = np.random.default_rng(seed), False
            while not ended:
                action = int(generator.integers(4))
                screen, reward, terminated, truncated, _ = theirs.step(action)
                _, our_reward, our_terminated, our_truncated, _ = ours.step(action)
                assert reward == our_reward and truncated == our_truncated
                ended = terminated or truncated
                assert ended == (our_terminated or our_truncated)
                assert ended or np.array_equal(screen["screen"], ours.render())
    finally:
        theirs.close()
        ours.close()


def test_silence_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute(vizdoom.DoomGame):  # type: ignore[misc]
        def init(self) -> bool:
            self.add_game_args("+snd_sfxvolume 0")
            return super().init()

    monkeypatch.setattr(doom.vzd, "DoomGame", Mute)
    world = open_room("doom-basic")
    with pytest.raises(WorldError, match="pip install pyalsoft.*apt-get install libopenal1"):
        world.reset(seed=0)
    assert world._game is None


@pytest.mark.skipif(ctypes.util.find_library("openal") is not None, reason="OpenAL is installed")
def test_a_missing_sound_library_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doom_process.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    with pytest.raises(WorldError, match="pyalsoft"):
        make_world("doom-basic").reset(seed=0)


def test_nothing_is_written_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    world = open_room("doom-basic")
    world.reset(seed=0)
    folder = Path(world._stop.peek()[2][1].name)  # type: ignore[index]
    assert folder.is_dir()
    world.step(ATTACK)
    world.close()
    assert list(tmp_path.iterdir()) == []
    assert not folder.exists()
    assert dict(os.environ) == before


def test_the_game_ends_with_close_and_with_the_last_reference() -> None:
    for end in ("close", "forget"):
        world = open_room("doom-basic")
        world.reset(seed=0)
        pid = process_of(world)
        assert is_running(pid)
        if end == "close":
            world.close()
        del world
        wait_until_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_game_dies_with_its_parent(number: signal.Signals) -> None:
    script = """
from test_worldgpt_env_doom import *
world = open_room("doom-basic")
world.reset(seed=0)
try:
    print(process_of(world), flush=True)
    while True:
        if any(world.step(WAIT)[2:4]):
            world.reset()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    command, here = [sys.executable, "-c", script], Path(__file__).parent
    with children.child(command, stdout=subprocess.PIPE, cwd=here) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(number)
        said, _ = parent.communicate(timeout=20)
    assert ("interrupted" in said) == (number == signal.SIGINT)
    wait_until_gone(pid)


def test_what_a_killed_parent_leaves_is_swept_by_the_next_world() -> None:
    script = """
from test_worldgpt_env_doom import *
world = open_room("doom-basic")
world.reset(seed=0)
print(Path(world._stop.peek()[2][1].name, "process").read_text().split()[1], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    result = children.run([sys.executable, "-c", script], cwd=Path(__file__).parent)
    left = list(Path("/dev/shm").glob(f"ViZDoom*{result.stdout.strip()}"))
    assert len(left) == 3, result.stderr
    deadline = time.monotonic() + 20
    while any(path.exists() for path in left) and time.monotonic() < deadline:
        doom_process._sweep()  # as every start does; the game may still be dying
        time.sleep(0.05)
    assert not any(path.exists() for path in left)


def test_a_dead_game_is_one_clear_error_and_reset_starts_it_again() -> None:
    world = open_room("doom-basic")
    try:
        world.reset(seed=0)
        os.kill(process_of(world), signal.SIGKILL)
        with pytest.raises(WorldError, match="reset"):
            for _ in range(3):
                world.step(WAIT)
        observation, _ = world.reset(seed=0)
        assert observation["image"].any() and world.step(WAIT)[1] == -4.0
    finally:
        world.close()


def test_a_world_opened_in_a_thread_outlives_the_thread() -> None:
    world = open_room("doom-basic")
    thread = threading.Thread(target=world.reset, kwargs={"seed": 0})
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert world.step(WAIT)[1] == -4.0
    world.close()
