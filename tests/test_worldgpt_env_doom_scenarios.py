"""The Doom scenarios: their ends, words and numbers; and the film of every Doom world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vizdoom")

from worldgpt_env import make_world
from worldgpt_env.model.modalities import AudioSpec, Modality, VideoSpec
from worldgpt_env.testing import check_world
from worldgpt_env.worlds.doom import DoomWorld

SCENARIOS = ("doom-health", "doom-cover", "doom-center", "doom-home", "doom-corridor")


def open_world(name: str, **options: object) -> DoomWorld:
    world = make_world(name, **options)
    assert isinstance(world, DoomWorld)
    return world


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Iterator[DoomWorld]:
    world = open_world(request.param, caption=True, video=True)
    yield world
    world.close()


def act(world: DoomWorld, name: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
    return world.step(world.action_spec.names.index(name))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_keeps_the_promises_of_a_world(name: str) -> None:
    check_world(make_world(name), steps=60)


@pytest.mark.parametrize("name", ["doom-audio", *SCENARIOS])
def test_a_film_adds_the_frames_between_and_changes_but_the_gun(name: str) -> None:
    plain, film = open_world(name), open_world(name, video=True)
    generator, moved, other_gun = np.random.default_rng(0), 0, 0
    try:
        assert Modality.VIDEO not in plain.specs
        assert film.specs[Modality.VIDEO] == VideoSpec(4, 48, 64)
        audio = film.specs[Modality.AUDIO]
        assert isinstance(audio, AudioSpec) and film.frame_rate is not None
        assert 4 / film.frame_rate == audio.samples / audio.rate
        plain.reset(seed=1)
        first, _ = film.reset(seed=1)
        assert np.array_equal(first["video"], np.stack([first["image"]] * 4))
        ended = False
        for _ in range(40):
            action = int(generator.integers(len(plain.action_spec.names)))
            (one, reward, *rest), (other, film_reward, *film_rest) = (
                world.step(action) for world in (plain, film)
            )
            video = other.pop("video")
            assert list(one) == list(other)
            image, film_image = one.pop("image"), other.pop("image")
            assert all(np.array_equal(one[key], other[key]) for key in one)
            assert film_reward == pytest.approx(reward) and film_rest == rest
            assert np.array_equal(video[-1], film_image)
            other_gun += not np.array_equal(image, film_image)
            assert np.array_equal(image[:20], film_image[:20]), "above the gun"
            moved += any(not np.array_equal(video[-1], frame) for frame in video[:-1])
            ended = rest[0] or rest[1]
            if ended:
                break
        assert moved > 3
        assert other_gun < 8 if "attack" in plain.action_spec.names else other_gun == 0
    finally:
        plain.close()
        film.close()


def test_death_is_the_end_and_a_time_out_is_not(scenario: DoomWorld) -> None:
    before, _ = scenario.reset(seed=0)
    ended = False
    while not ended:
        observation, _, terminated, truncated, info = act(scenario, "wait")
        ended = terminated or truncated
        if not ended:
            before = observation
    for key in ("image", "video", "audio"):
        assert np.array_equal(observation[key], before[key]), "the last moment is shown again"
    assert observation["image"].any()
    if scenario.world_name == "doom-home":  # nothing kills there
        assert (terminated, truncated) == (False, True)
    else:
        assert (terminated, truncated) == (True, False)
        assert info["text"].startswith("health 0") and observation["vector"][0] == 0
        assert "hurt" in info["text"]


def test_cover_has_a_time_limit_here() -> None:
    world = open_world("doom-cover")
    assert world.time_limit == 2100
    world.time_limit = 40  # type: ignore[misc]
    world.reset(seed=0)
    ends = [world.step(0)[2:4] for _ in range(10)]
    world.close()
    assert ends == [(False, False)] * 9 + [(False, True)]


@pytest.mark.parametrize("scenario", ["doom-health"], indirect=True)
def test_the_burning_floor_hurts_and_a_medikit_heals(scenario: DoomWorld) -> None:
    observation, info = scenario.reset(seed=1)
    health, told = observation["vector"][0], {"hurt": 0, "refill": 0}
    for _ in range(150):
        side = info["text"].split()[-1]  # where the nearest medikit is
        way = {"left": "turn left", "right": "turn right", "behind": "turn left"}
        observation, reward, terminated, _, info = act(scenario, way.get(side, "move forward"))
        if terminated:
            break
        change, health = observation["vector"][0] - health, observation["vector"][0]
        words = info["text"].split()
        assert words[1] == str(int(health)) and reward == 4
        assert ("hurt" in words) == (change < 0)
        if change > 0:
            assert "refill" in words
        for word in told:
            told[word] += word in words
    assert told["hurt"] > 5 and told["refill"] > 2


@pytest.mark.parametrize("scenario", [n for n in SCENARIOS if n != "doom-cover"], indirect=True)
def test_the_caption_leads_to_what_matters(scenario: DoomWorld) -> None:
    found = 0
    for seed in range(3):
        _, info = scenario.reset(seed=seed)
        for _ in range(60):
            target, side = info["text"].split()[-2:]
            if side == "ahead" or target == "no":
                found += side == "ahead"
                break
            way = "turn right" if side == "right" else "turn left"
            *_, terminated, _, info = act(scenario, way)
            if terminated:
                break
    assert found >= 2


def test_shots_and_kills_are_told() -> None:
    world = open_world("doom-center", caption=True)
    kills, ammo = 0, 26
    try:
        _, info = world.reset(seed=0)
        for _ in range(150):
            ahead = info["text"].endswith("ahead")
            way = "turn right" if info["text"].endswith("right") else "turn left"
            observation, reward, terminated, _, info = act(world, "attack" if ahead else way)
            words = info["text"].split()
            assert [words[1], words[3], words[7]] == [
                str(int(number)) for number in observation["vector"][[0, 1, 3]]
            ]
            assert int(words[7]) - kills == reward + terminated
            assert int(words[3]) <= ammo
            kills, ammo = int(words[7]), int(words[3])
            if terminated:
                break
        assert kills > 0 and ammo < 26
    finally:
        world.close()


def test_the_armor_pays_in_the_step_that_ends_the_episode() -> None:
    world = make_world("doom-home", caption=True)
    for seed in (34, 52):  # begin in sight of it; in the second, the game goes on for a step
        _, info = world.reset(seed=seed)
        rewards, terminated = [], False
        while not terminated and len(rewards) < 40:
            side = next((s for s in ("left", "right", "behind") if s in info["text"]), "")
            move = {"left": "turn left", "behind": "turn left", "right": "turn right"}
            action = world.action_spec.names.index(move.get(side, "move forward"))
            _, reward, terminated, truncated, info = world.step(action)
            rewards.append(reward)
            assert not truncated
        assert terminated and rewards[-1] > 0.99 and max(rewards[:-1]) < 0
    world.close()
