"""BabyAI with missions of two parts: order, words, the end, and what hides."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("minigrid")

from worldgpt_env import make_world
from worldgpt_env.errors import ConfigurationError

LEFT, RIGHT, FORWARD, PICK_UP, DROP = range(5)
PART = r"(go to|pick up) the (\w+ \w+)"


def wander(world, seed: int, walk: int, wanted: list[str]):  # type: ignore[no-untyped-def]
    """Walk at random from ``seed`` until the words held each of ``wanted`` in turn.

    Returns:
        The last step, and the sentences on the way.
    """
    draw, left = np.random.default_rng(walk), list(wanted)
    said = [world.reset(seed=seed)[1]["text"]]
    while left:
        verb, _, what = left[0].partition(" ")
        action = int(draw.choice([LEFT, RIGHT, FORWARD, FORWARD]))
        if verb == "carrying" and f"facing {what}" in said[-1]:
            action = PICK_UP
        last = world.step(action)
        said.append(last[4]["text"])
        left = left[1:] if left[0] in said[-1] else left
        assert not last[3], f"{left} was not reached"
    return last, said


def parts_of(mission: str) -> tuple[list[str], str]:
    """Return the words of a state in which each part is done, in their order, and the joint."""
    found = re.fullmatch(rf"{PART} (then|and|after you) {PART} facing .*", mission)
    assert found, mission
    first, second = (
        f"{'facing' if verb == 'go to' else 'carrying'} {what}"
        for verb, what in (found.group(1, 2), found.group(4, 5))
    )
    return ([second, first] if found[3] == "after you" else [first, second]), found[3]


def missions(verbs: str, joint: str) -> tuple[int, list[str]]:
    """Return a seed whose mission has these verbs and this joint, and its parts."""
    world = make_world("babyai-two")
    for seed in range(400):
        mission = world.reset(seed=seed)[1]["text"]
        parts, joined = parts_of(mission)
        if joined == joint and [part.split()[0] for part in parts] == verbs.split():
            return seed, parts
    raise AssertionError("no such mission")


@pytest.mark.parametrize("joint", ["then", "after you", "and"])
def test_both_parts_in_order_are_the_end_and_the_reward(joint: str) -> None:
    seed, parts = missions("facing carrying", joint)
    world = make_world("babyai-two", max_steps=2000)
    (_, reward, terminated, truncated, _), said = wander(world, seed, 1, parts)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert parts[-1] in said[-1]


@pytest.mark.parametrize(("joint", "done"), [("then", "none"), ("and", "one")])
def test_the_second_part_counts_first_only_where_the_order_is_free(joint: str, done: str) -> None:
    seed, (first, second) = missions("facing facing", joint)
    world = make_world("babyai-two", max_steps=2000, progress=True)
    for walk in range(20):
        (_, reward, terminated, _, _), said = wander(world, seed, walk, [second])
        if not any(first in text for text in said):  # it was not passed on the way
            break
    assert (reward, terminated) == (0.0, False)
    assert said[0].endswith("done none") and said[-1].endswith(f"done {done}")


def test_words_fit_the_slots_and_name_what_is_there() -> None:
    world = make_world("babyai-two", things=4)
    for seed in range(50):
        observation, info = world.reset(seed=seed)
        assert world.specs["text"].decode(observation["text"]) == info["text"]
        assert observation["image"].shape == (64, 64, 3)
        parts_of(info["text"])


def test_nothing_is_printed_and_a_seed_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = make_world("babyai-two"), make_world("babyai-two")
    for seed in range(60):
        one, other = first.reset(seed=seed), second.reset(seed=seed)
        assert one[1] == other[1] and np.array_equal(one[0]["image"], other[0]["image"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("options", [{"size": 4}, {"things": 1}, {"things": 9}, {"max_steps": 0}])
def test_impossible_options_are_told(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make_world("babyai-two", **options)
