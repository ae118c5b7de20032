"""Worlds that break their own specs while they are recorded, names, and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from door_samples import (
    VECTOR,
    Walk,
    equal,
)

from worldgpt_env.errors import ConfigurationError, ContractError, WorldGPTError
from worldgpt_env.model.modalities import (
    VectorSpec,
)
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.recording import Recording
from worldgpt_env.worlds import World, make_world, register_world, registry

NAN, INF = float("nan"), float("inf")


def seen(key: str, change: Callable[[np.ndarray], Any]) -> Callable[[Any], Any]:
    """Return a fault in one part of what is seen."""

    def fault(given: Any) -> Any:
        observation, *rest = given
        return observation | {key: change(observation[key])}, *rest

    return fault


def given(place: int, value: Any) -> Callable[[Any], Any]:
    """Return a fault in one of the five values that a step gives."""
    return lambda step: (*step[:place], value, *step[place + 1 :])


WORLD_FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "float64": (seen("vector", lambda v: v.astype(np.float64)), "the vector .*dtype float64"),
    "wrong-shape": (seen("vector", lambda v: v[:1]), r"the vector .*shape \(1,\)"),
    "more-axes": (seen("image", lambda v: v[None]), r"the image .*shape \(1, 16"),
    "float-image": (seen("image", lambda v: v / np.float32(255)), "the image .*dtype float32"),
    "nan": (seen("vector", lambda v: v * np.float32(NAN)), "the vector .*place nan"),
    "out-of-range": (seen("vector", lambda v: v + np.float32(9)), "the vector .*place"),
    "wrong-word": (seen("text", lambda v: v + 9), "the text .*has 11"),
    "int32-words": (seen("text", lambda v: v.astype(np.int32)), "the text .*dtype int32"),
    "list": (seen("vector", lambda v: v.tolist()), "the vector .*list"),
    "masked": (seen("vector", lambda v: np.ma.masked_array(v, True)), "the vector .*Masked"),
    "missing-key": (lambda s: ({"vector": s[0]["vector"]}, *s[1:]), "keys .'vector'."),
    "more-keys": (lambda s: (s[0] | {"smell": 1}, *s[1:]), "keys .*smell"),
    "no-dict": (given(0, None), "observation is a NoneType"),
    "nan-reward": (given(1, NAN), "reward is nan"),
    "huge-reward": (given(1, 1e300), r"reward is 1e\+300"),
    "huge-whole-reward": (given(1, 10**400), "reward is 1000"),
    "infinite-reward": (given(1, np.float32(INF)), "reward is .*inf"),
    "no-reward": (given(1, None), "reward is None"),
    "text-reward": (given(1, "1.0"), "reward is '1.0'"),
    "array-reward": (given(1, np.zeros(2)), "reward is array"),
    "complex-reward": (given(1, 1j), "reward is 1j"),
    "both-ends": (lambda s: (*s[:2], True, True, s[4]), "terminated and truncated at once"),
    "no-end": (given(2, None), "terminated is None"),
    "array-end": (given(3, np.zeros(1, bool)), "truncated is array"),
    "no-sentence": (given(4, None), "text is None"),
    "four-values": (lambda step: step[:4], "came; expected are five values"),
}


@pytest.fixture
def world_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what lets ``walk`` open a given class."""
    return lambda kind: monkeypatch.setitem(registry._WORLDS, "walk", kind)


@pytest.mark.parametrize("own_step", [False, True])
@pytest.mark.parametrize("fault", WORLD_FAULTS)
def test_a_world_that_breaks_its_specs_is_named_with_the_step_and_nothing_else_is_lost(
    fault: str, own_step: bool, tmp_path: Path, world_of: Callable[..., None]
) -> None:
    change, message = WORLD_FAULTS[fault]
    if own_step and fault in ("no-sentence", "four-values"):
        return  # a step of its own gives other values
    steps = 0

    def late(given: Any) -> Any:
        nonlocal steps
        steps += 1
        return change(given) if steps == 11 else given  # in the third step of the third episode

    class Broken(Walk):
        def _step(self, action: int) -> Any:
            return super()._step(action) if own_step else late(super()._step(action))

    if own_step:  # which hides what World.step would find
        Broken.step = lambda self, action: late(World.step(self, action))  # type: ignore[assignment]
    world_of(Broken)
    config = CollectConfig("walk", 40, str(tmp_path / "r"))
    with pytest.raises(ContractError, match=f"episode 2 of world 'walk'.* step 3 .*{message}") as e:
        collect(config)
    assert "2 episodes are kept" in str(e.value) and len(str(e.value)) < 900
    world_of(Walk)  # mended
    assert collect(config)["new_steps"] == 32
    collect(CollectConfig("walk", 40, str(tmp_path / "whole")))
    pair = (Recording.load(tmp_path / name).episodes for name in ("r", "whole"))
    assert all(equal(a, b) for a, b in zip(*pair, strict=True))


def test_a_world_that_starts_outside_its_specs_is_named(
    tmp_path: Path, world_of: Callable[..., None]
) -> None:
    for reset, message in (
        (lambda self: (Walk._reset(self)[0] | {"text": np.array([9, 9])}, "here"), "the text"),
        (lambda self: Walk._reset(self)[0], "expected are an observation and its sentence"),
        (lambda self: (Walk._reset(self)[0], 3), "text is 3"),
    ):
        world_of(type("Broken", (Walk,), {"_reset": reset}))
        with pytest.raises(ContractError, match=rf"episode 0 .*reset\(\): .*{message}"):
            collect(CollectConfig("walk", 8, str(tmp_path / "r")))
        assert not (tmp_path / "r").exists()


def test_a_broken_step_ends_the_episode_wherever_the_world_is_used() -> None:
    world = type("Broken", (Walk,), {"see": lambda self: {"vector": np.zeros(2)}})()
    with pytest.raises(ContractError, match=r"world 'walk', reset\(\): .*keys"):
        world.reset(seed=0)
    world = Walk()
    world.reset(seed=0)
    world.step(1)
    world.see = lambda: {}
    with pytest.raises(ContractError, match="world 'walk', step 2 of the episode"):
        world.step(1)
    with pytest.raises(WorldGPTError, match="reset"):
        world.step(1)


def test_a_world_that_writes_into_its_own_arrays_is_recorded_as_it_was(
    tmp_path: Path, world_of: Callable[..., None]
) -> None:
    class Reused(Walk):
        def see(self) -> Any:
            fresh = super().see()
            self.arrays = getattr(self, "arrays", fresh)
            for key, array in self.arrays.items():
                array[...] = fresh[key]
            return self.arrays

    recorded = {}
    for kind in (Walk, Reused):
        world_of(kind)
        collect(CollectConfig("walk", 600, str(tmp_path / kind.__name__)))
        recorded[kind] = Recording.load(tmp_path / kind.__name__).episodes
    pairs = zip(recorded[Walk], recorded[Reused], strict=True)
    assert all(equal(a, b) for a, b in pairs)
    times = recorded[Reused][0].observations[VECTOR][:, 1]
    assert times.tolist() == [0, 1, 2, 3, 4]


def test_an_episode_longer_than_any_guess_is_recorded_whole(
    tmp_path: Path, world_of: Callable[..., None]
) -> None:
    class Long(Walk):
        spec = VectorSpec(("place", "time"), (0.0, 0.0), (5.0, 999.0))

        def _step(self, action: int) -> Any:
            return *super()._step(action)[:3], False, "here"

    world_of(Long)
    collect(CollectConfig("walk", 300, str(tmp_path / "r")))
    (lone,) = Recording.load(tmp_path / "r").episodes
    assert lone.observations[VECTOR][:, 1].tolist() == list(range(301)) and lone.truncated


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the worlds that a test registers."""
    monkeypatch.setattr(registry, "_WORLDS", dict(registry._WORLDS))
    yield


@pytest.mark.parametrize(
    "name",
    ["w", "", "my world", "../evil", "/tmp/evil", "a/b", "-walk", "_walk", ".walk", "a.b", "wälk"]
    + ["walk\n", "x" * 65, "a:b", "a\0b", None, 7, b"walk"],
)
def test_a_name_that_no_recording_can_bear_is_refused_at_once(name: Any, registered: None) -> None:
    with pytest.raises(ConfigurationError, match="2 to 64 letters"):
        register_world(type("Named", (Walk,), {"world_name": name}))
    with pytest.raises(ConfigurationError, match="there is no world"):
        make_world(name)


@pytest.mark.parametrize("name", ["ab", "a1", "7x", "Walk_2-v0", "x" * 64, "data", "recording-v0"])
def test_a_world_of_every_name_that_is_taken_can_be_recorded(
    name: str, registered: None, tmp_path: Path
) -> None:
    register_world(type("Named", (Walk,), {"world_name": name}))
    collect(CollectConfig(name, 9, str(tmp_path / "r")))
    assert Recording.load(tmp_path / "r").world == name
    assert minari.MinariDataset(tmp_path / "r" / "data").total_steps == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["data"]


@pytest.mark.parametrize("options", ["size", None, 3, ("size", 3)])
def test_options_that_are_no_names_are_refused_at_once(options: Any, registered: None) -> None:
    with pytest.raises(ConfigurationError, match=r"Named.options is .*\(\) if it has none"):
        register_world(type("Named", (Walk,), {"world_name": "named", "options": options}))


def test_a_world_that_declares_nothing_says_so(registered: None) -> None:
    body = {"world_name": "blank", "__init__": lambda self: None}
    register_world(type("Blank", (Walk,), body))
    with pytest.raises(ConfigurationError, match="Blank.__init__ does not call _declare"):
        make_world("blank")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 10.5}, "steps is 10.5"),
        ({"steps": True}, "steps is True"),
        ({"steps": "10"}, "steps is '10'"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": None}, "seed is None"),
        ({"epsilon": NAN}, "epsilon is nan"),
        ({"epsilon": "0.1"}, "epsilon is '0.1'"),
        ({"world_options": {"size": np.int64(5)}}, "JSON"),
        ({"world_options": {"size": NAN}}, "JSON"),
    ],
)
def test_settings_that_could_not_be_told_again_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CollectConfig(**({"world": "walk", "steps": 9, "out": "r"} | changes))


def test_settings_of_numpy_and_paths_go_on_as_they_began(
    tmp_path: Path, world_of: Callable[..., None]
) -> None:
    world_of(Walk)
    mine = CollectConfig("walk", np.int64(9), tmp_path / "r", seed=np.uint32(4))  # type: ignore[arg-type]
    assert collect(mine)["new_steps"] == 9
    assert collect(CollectConfig("walk", 9, str(tmp_path / "r"), seed=4))["new_steps"] == 0
