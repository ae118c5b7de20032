"""The Atari games: nothing of picture or sound is lost, and the words say what the pixels show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("ale_py")

import ale_py
import gymnasium as gym

from worldgpt_env import make_world
from worldgpt_env.errors import ConfigurationError
from worldgpt_env.model.modalities import AudioSpec, Modality, TextSpec, VideoSpec
from worldgpt_env.testing import check_world
from worldgpt_env.worlds import WorldError, world_names
from worldgpt_env.worlds.atari import AtariWorld

GAMES = tuple(name for name in world_names() if name.startswith("atari-"))
THIRDS = {"left": 0, "center": 1, "right": 2, "high": 0, "middle": 1, "low": 2}


def open_game(name: str, **options: object) -> AtariWorld:
    world = make_world(name, **options)
    assert isinstance(world, AtariWorld)
    return world


@pytest.fixture(scope="module", params=GAMES)
def game(request: pytest.FixtureRequest) -> Iterator[AtariWorld]:
    world = open_game(request.param, video=True)
    yield world
    world.close()


def actions(world: AtariWorld, seed: int, count: int) -> list[int]:
    """Return random actions, each held for a few steps."""
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    while len(chosen) < count:
        chosen += [int(generator.integers(world.action_spec.sizes[0]))] * int(
            generator.integers(1, 8)
        )
    return chosen[:count]


def test_six_games_keep_the_promises_of_a_world() -> None:
    assert len(GAMES) >= 6
    check_world(open_game("atari-breakout", video=True), steps=60)


def test_every_game_is_seen_heard_and_told_in_known_words(game: AtariWorld) -> None:
    text, audio, video = (game.specs[m] for m in (Modality.TEXT, Modality.AUDIO, Modality.VIDEO))
    assert isinstance(text, TextSpec) and isinstance(audio, AudioSpec)
    assert video == VideoSpec(4, 64, 64) and audio.shape == (2048, 1)
    # Pictures and sound of a step last equally long: 4 frames at 60 a second.
    assert video.frames / game.frame_rate == audio.samples / audio.rate  # type: ignore[operator]
    observation, info = game.reset(seed=0)
    assert not observation["audio"].any() and info["text"].startswith(game.world_name[6:])
    loud, pictures = 0.0, set()
    for action in actions(game, 0, 150):
        observation, _, terminated, truncated, info = game.step(action)
        assert text.decode(observation["text"]) == info["text"] and 1 not in observation["text"]
        assert len(info["text"].split()) <= 12
        assert np.array_equal(observation["image"], observation["video"][-1])
        loud = max(loud, float(np.abs(observation["audio"]).max()))
        pictures.add(observation["image"].tobytes())
        if terminated or truncated:
            break
    assert loud > 0.01 and len(pictures) > 20
    assert game.action_spec.names[0] == "wait"
    assert all(len(name.split()) <= 4 and name.islower() for name in game.action_spec.names)


def test_a_seed_repeats_the_game_bit_for_bit_with_its_sound(game: AtariWorld) -> None:
    def life(seed: int) -> list[bytes]:
        world_life = [b"".join(v.tobytes() for v in game.reset(seed=seed)[0].values())]
        for action in actions(game, 0, 90):  # Ms. Pac-Man's tune lasts 65 steps
            observation, reward, *_ = game.step(action)
            world_life.append(b"".join(v.tobytes() for v in observation.values()) + b"%f" % reward)
        return world_life

    first = life(5)
    assert life(6) != first, "the sticky actions of another seed are others"
    assert life(5) == first


def test_the_game_is_that_of_gymnasium_and_no_sound_is_lost() -> None:
    gym.register_envs(ale_py)
    theirs = gym.make(
        "ALE/Pong-v5", sound_obs=True, frameskip=1, repeat_action_probability=0.0
    ).unwrapped
    ours = open_game("atari-pong", sticky=0.0, video=True, image_size=(208, 160))
    theirs.reset(seed=0)
    ours.reset(seed=0)
    heard = 0.0
    for action in actions(ours, 1, 120):
        frames = [theirs.step(action) for _ in range(4)]
        observation, reward, *_ = ours.step(action)
        sound = np.concatenate([frame[0]["sound"] for frame in frames]).astype(np.float32)
        assert np.array_equal(observation["audio"][:, 0], (sound - 128) / 128)
        assert reward == sum(frame[1] for frame in frames)
        assert np.array_equal(ours.render(), frames[-1][0]["image"])
        heard = max(heard, float(np.abs(observation["audio"]).max()))
    assert heard > 0.1
    theirs.close()


def test_video_is_the_film_and_changes_nothing_else() -> None:
    plain, film = open_game("atari-freeway"), open_game("atari-freeway", video=True)
    assert Modality.VIDEO not in plain.specs
    before, _ = film.reset(seed=1)
    assert np.array_equal(before["video"], np.stack([before["image"]] * 4))
    plain.reset(seed=1)
    for action in actions(plain, 1, 40):
        one, other = plain.step(action), film.step(action)
        video = other[0].pop("video")
        assert all(np.array_equal(one[0][key], other[0][key]) for key in other[0])
        assert one[1:] == other[1:]
        assert any(not np.array_equal(video[0], frame) for frame in video[1:]), "cars move"


@pytest.mark.parametrize(
    ("name", "colour", "rows", "columns"),
    [
        ("atari-pong", (236, 236, 236), (34, 194), (0, 160)),
        ("atari-breakout", (200, 72, 72), (93, 188), (8, 152)),
    ],
)
def test_the_words_say_where_the_ball_is_drawn(
    name: str, colour: tuple[int, int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    world, right, wrong, gone = open_game(name), 0, 0, 0
    world.reset(seed=2)
    for action in actions(world, 2, 500):
        *_, terminated, _, info = world.step(action)
        if terminated:
            world.reset()
            continue
        screen = world.render()
        assert screen is not None
        window = screen[slice(*rows), slice(*columns)].astype(int)
        found = np.argwhere((np.abs(window - colour) < 8).all(-1))
        words = info["text"].split()
        if words[2] == "gone":
            gone += 1
            wrong += len(found) > 0
        elif len(found):
            third = int(3 * found[:, 1].mean() / window.shape[1])
            right += third == THIRDS[words[2]]
            wrong += abs(third - THIRDS[words[2]]) > 1
    assert gone > 5 and right > 80 and wrong == 0


def test_the_words_say_where_the_player_is_drawn() -> None:
    for name, colour, rows, axis, reach in (
        ("atari-spaceinvaders", (50, 132, 50), (184, 195), 1, (37, 119)),
        ("atari-mspacman", (210, 164, 74), (0, 171), 0, (6, 170)),
        ("atari-asterix", (187, 187, 53), (20, 160), 0, (23, 151)),
    ):
        world, right, seen = open_game(name), 0, 0
        world.reset(seed=0)
        for action in actions(world, 0, 150):
            *_, terminated, _, info = world.step(action)
            if terminated:
                world.reset()
                continue
            screen = world.render()
            assert screen is not None
            window = screen[slice(*rows)].astype(int)
            found = np.argwhere((np.abs(window - colour) < 8).all(-1))
            if len(found):
                where = found[:, axis].mean() + (rows[0] if axis == 0 else 0)
                third = min(max(int(3 * (where - reach[0]) / (reach[1] - reach[0])), 0), 2)
                word = info["text"].split()[2 if axis == 1 else 3]
                right, seen = right + (third == THIRDS[word]), seen + 1
        assert seen > 80 and right / seen > 0.85, (name, right, seen)


def test_score_and_lives_are_told_as_they_are_won_and_lost() -> None:
    world = open_game("atari-breakout")
    total, ended = 0.0, False
    world.reset(seed=0)
    for action in np.random.default_rng(0).integers(4, size=2000):
        _, reward, ended, _, info = world.step(int(action))
        total += reward
        _, said = info["text"].split(" score ")
        assert int(said.replace(" ", "")) == total
        if ended:
            break
    assert ended and "lives 0" in info["text"] and total > 0
    pong = open_game("atari-pong")
    pong.reset(seed=0)
    lost = 0
    for _ in range(250):
        _, reward, _, _, info = pong.step(0)
        lost -= int(reward)
        assert info["text"].endswith(f"score 0 to {lost}")
    assert lost >= 3


def test_a_time_limit_is_truncated_and_wrong_settings_are_refused() -> None:
    world = open_game("atari-freeway", max_steps=3, image_size=(32, 48))
    assert world.reset(seed=0)[0]["image"].shape == (32, 48, 3)
    assert [world.step(0)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]
    for options in ({"sticky": 1.0}, {"sticky": -0.1}, {"max_steps": 0}, {"image_size": (50, 64)}):
        with pytest.raises(ConfigurationError):
            make_world("atari-pong", **options)
    odd = type("Odd", (AtariWorld,), {"world_name": "atari-odd", "rom": "odd"})
    with pytest.warns(UserWarning), pytest.raises(WorldError, match="no game 'odd'"):
        odd()
