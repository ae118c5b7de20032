"""Every argument of every environment, with about a hundred wrong values each.

Each value either works, and then the environment steps, or is refused by one sentence of a
WorldGPTError. No other exception comes out, and what was refused has changed nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_world import ACTIONS, TinyWorld, build_model, build_start_states
from wrong_values import wrong_values

from worldgpt_env import (
    DiscreteTextActions,
    LatentObservation,
    MemoryObservation,
    SelectModalities,
    Simulator,
    SimulatorConfig,
    WorldGPT,
)
from worldgpt_env.env import WorldGPTEnv
from worldgpt_env.errors import (
    ClosedEnvironmentError,
    ConfigurationError,
    InvalidActionError,
    WorldGPTError,
)
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.model.modalities import ActionSpec, VectorSpec
from worldgpt_env.model.vector_dynamics import (
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel
from worldgpt_env.policies import ImaginedVecEnv, LatentVecEnv, MemoryVecEnv
from worldgpt_env.simulator import KnowledgeConfig
from worldgpt_env.vector_env import WorldGPTVectorEnv

pytestmark = pytest.mark.filterwarnings("ignore")
LONGEST = 700  # characters of a sentence
Use = Callable[[Any], object]


@lru_cache
def tiny(kind: str = "discrete") -> dict[str, Any]:
    """Return model and start states of the tiny world with this kind of actions."""
    model = build_model(kind)
    return {"model": model, "start_states": build_start_states(model)}


def refuses_or_works(use: Use, name: str, value: Any) -> bool:
    """Return whether ``use(value)`` works; it may be refused, by one sentence."""
    try:
        use(value)
    except WorldGPTError as error:
        sentence = str(error)
        lines = 1 if not (isinstance(value, str) and "\n" in value) else 2
        assert sentence and len(sentence.splitlines()) <= lines, f"{name}: {sentence!r}"
        assert len(sentence) <= LONGEST or isinstance(value, str), f"{name}: {sentence[:200]!r}"
        return False
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
    return True


def try_all(use: Use, most: int = 40) -> None:
    """Try every wrong value; at most ``most`` of them may work."""
    works = [name for name, value in wrong_values() if refuses_or_works(use, name, value)]
    assert len(works) <= most, works


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Return whether two states are the same, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def play(env: gym.Env) -> None:
    env.reset(seed=0)
    env.step(0)
    env.close()


def play_vector(env: gym.vector.VectorEnv) -> None:
    env.reset(seed=0)
    env.step(np.zeros(env.num_envs, np.int64))
    env.close()


def play_sb3(env: Any) -> None:
    env.reset()
    env.step(np.zeros(env.num_envs, np.int64))
    env.close()


def play_simulator(**settings: Any) -> None:
    config = SimulatorConfig(start_states=tiny()["start_states"])
    simulator = Simulator(**{"model": tiny()["model"], "num_envs": 2, "config": config} | settings)
    simulator.reset()
    simulator.step(np.zeros(simulator.num_envs, np.int64))
    simulator.observe()


def arguments_of(callable_: Any) -> list[str]:
    """Return the names of the arguments of a class or function."""
    return [name for name in inspect.signature(callable_).parameters if name != "self"]


# what opens an environment -----------------------------------------------------------------------


@pytest.mark.parametrize("name", arguments_of(WorldGPTEnv.__init__))
def test_arguments_of_make(name: str) -> None:
    try_all(lambda value: play(gym.make("WorldGPT-v0", **tiny() | {name: value})))


@pytest.mark.parametrize("name", arguments_of(WorldGPTVectorEnv))
def test_arguments_of_make_vec(name: str) -> None:
    def use(value: Any) -> None:
        settings = tiny() | {"num_envs": 2, name: value}
        play_vector(gym.make_vec("WorldGPT-v0", **settings))

    try_all(use)


@pytest.mark.parametrize("name", arguments_of(ImaginedVecEnv))
def test_arguments_of_the_imagined_vec_env(name: str) -> None:
    kind = "text" if name == "sentences" else "discrete"

    def use(value: Any) -> None:
        env = ImaginedVecEnv(**tiny(kind) | {"num_envs": 2, name: value})
        env.reset() if kind == "text" else play_sb3(env)

    try_all(use)


@pytest.mark.parametrize("name", arguments_of(Simulator))
def test_arguments_of_the_simulator(name: str) -> None:
    try_all(lambda value: play_simulator(**{name: value}))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(SimulatorConfig)])
def test_fields_of_the_simulator_config(name: str) -> None:
    def use(value: Any) -> None:
        settings = {"start_states": tiny()["start_states"], name: value}
        play_simulator(config=SimulatorConfig(**settings))

    try_all(use)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(MemoryConfig)])
def test_fields_of_the_memory_config(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # any text is a folder that can be made
    settings: dict[str, Any] = {"reading": "raw", "near": 8}

    def use(value: Any) -> None:
        memory = MemoryConfig(**settings | {name: value})
        play(gym.make("WorldGPT-v0", **tiny(), memory=memory))

    try_all(use)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(KnowledgeConfig)])
def test_fields_of_the_knowledge_config(name: str) -> None:
    def use(value: Any) -> None:
        settings: dict[str, Any] = {"base": "nowhere", "reading": "raw", name: value}
        gym.make("WorldGPT-v0", **tiny(), knowledge=KnowledgeConfig(**settings))

    try_all(use, most=0)


@pytest.mark.parametrize("name", arguments_of(LatentVecEnv))
def test_arguments_of_the_latent_vec_env(name: str) -> None:
    def use(value: Any) -> None:
        settings = {"venv": DummyVecEnv([TinyWorld]), "model": tiny()["model"], name: value}
        play_sb3(LatentVecEnv(**settings))

    try_all(use)


@pytest.mark.parametrize("name", arguments_of(MemoryVecEnv))
def test_arguments_of_the_memory_vec_env(name: str) -> None:
    venv = ImaginedVecEnv(**tiny(), num_envs=2)
    try_all(lambda value: MemoryVecEnv(**{"venv": venv, name: value}).reset())


@pytest.mark.parametrize("name", arguments_of(MemoryObservation))
def test_arguments_of_the_memory_observation(name: str) -> None:
    env = gym.make("WorldGPT-v0", obs_mode="latent", **tiny())
    try_all(lambda value: MemoryObservation(**{"env": env, name: value}).reset())


@pytest.mark.parametrize("name", arguments_of(LatentObservation))
def test_arguments_of_the_latent_observation(name: str) -> None:
    settings: dict[str, Any] = {"env": TinyWorld(), "model": tiny()["model"]}
    try_all(lambda value: LatentObservation(**settings | {name: value}).reset())


def test_arguments_of_the_other_wrappers() -> None:
    try_all(lambda value: SelectModalities(TinyWorld(), value).reset())
    try_all(lambda value: SelectModalities(value, ["image"]).reset(), most=0)
    env = gym.make("WorldGPT-v0", **tiny("text"))
    try_all(lambda value: DiscreteTextActions(env, value).reset(), most=2)  # the empty sentence
    try_all(lambda value: DiscreteTextActions(value, ["fire"]).reset(), most=0)


def test_names_and_devices_of_models() -> None:
    try_all(WorldGPT.from_pretrained, most=0)
    try_all(lambda value: WorldGPT.from_pretrained("doorkey", value), most=0)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "foo", "meta", "cpu:x", "", 0])
def test_a_device_that_is_not_there_is_refused_and_the_model_stays(device: Any) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has the device, where it works")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has the device, where it works")
    with pytest.raises(ConfigurationError, match="device is .*use 'cpu'"):
        gym.make("WorldGPT-v0", **tiny(), device=device)
    assert tiny()["model"].device.type == "cpu"
    play(gym.make("WorldGPT-v0", **tiny()))


def test_a_temperature_of_whole_range_samples_and_one_beyond_is_refused() -> None:
    for temperature in (0, 0.0, 1e-6, np.float32(0.5), 1, 1e6):
        play(gym.make("WorldGPT-v0", **tiny(), temperature=temperature))
    for temperature in (-1e-9, 1e-7, 1e-320, 1e7, float("1e400"), float("nan"), True, "1"):
        with pytest.raises(ConfigurationError, match="temperature is"):
            gym.make("WorldGPT-v0", **tiny(), temperature=temperature)


# what is passed to one that is open --------------------------------------------------------------


@pytest.fixture(scope="module")
def opened() -> dict[str, Any]:
    """The tiny world in all shells, reset."""
    env = gym.make("WorldGPT-v0", **tiny()).unwrapped
    vector = gym.make_vec("WorldGPT-v0", num_envs=2, **tiny()).unwrapped
    sb3 = ImaginedVecEnv(**tiny(), num_envs=2)
    env.reset(seed=0)
    vector.reset(seed=0)
    sb3.seed(0)
    sb3.reset()
    return {"env": env, "vector": vector, "sb3": sb3, "simulator": sb3.simulator}


def test_seeds(opened: dict[str, Any]) -> None:
    env, vector, sb3 = (opened[name] for name in ("env", "vector", "sb3"))
    try_all(lambda value: env.reset(seed=value))
    try_all(lambda value: vector.reset(seed=value))
    try_all(lambda value: vector.reset(seed=[value, value]))
    try_all(lambda value: (sb3.seed(value), sb3.reset()))
    try_all(lambda value: opened["simulator"].reset(seeds=[value, value]))
    try_all(lambda value: opened["simulator"].reset(seeds=value), most=2)  # None, array([1, 2])
    try_all(lambda value: opened["simulator"].reset(value), most=4)  # rows
    try_all(lambda value: opened["simulator"].fork(value), most=4)
    try_all(lambda value: opened["simulator"].fork([0, 1], value), most=2)


OPTIONS = ("index", "observation", "description", "generate", "reset_mask", "knowledge", "memory")


def test_options(opened: dict[str, Any]) -> None:
    env, vector, sb3 = (opened[name] for name in ("env", "vector", "sb3"))
    try_all(lambda value: env.reset(options=value), most=4)  # None, {}, {"index": 3}
    try_all(lambda value: vector.reset(options=value), most=4)
    try_all(lambda value: opened["simulator"].reset(options=value), most=4)
    try_all(lambda value: (sb3.set_options(value), sb3.reset()), most=4)
    try_all(lambda value: (sb3.set_options([value, value]), sb3.reset()), most=4)


@pytest.mark.parametrize("option", OPTIONS)
def test_values_of_options(opened: dict[str, Any], option: str) -> None:
    env, vector, sb3 = (opened[name] for name in ("env", "vector", "sb3"))
    try_all(lambda value: env.reset(options={option: value}), most=12)
    try_all(lambda value: vector.reset(options={option: value}), most=12)
    try_all(lambda value: vector.reset(options={option: [value, value]}), most=12)
    try_all(lambda value: (sb3.set_options({option: value}), sb3.reset()), most=12)


@pytest.mark.parametrize("key", ["image", "audio", "text", "vector", "video"])
def test_values_of_an_observation(opened: dict[str, Any], key: str) -> None:
    own = TinyWorld().reset(seed=1)[0]
    try_all(lambda value: opened["env"].reset(options={"observation": own | {key: value}}), most=0)


def test_states(opened: dict[str, Any]) -> None:
    env, sb3 = opened["env"], opened["sb3"]
    try_all(env.set_state, most=0)
    try_all(sb3.set_state, most=0)
    kept, kept_sb3 = env.get_state(), sb3.get_state()
    for name in kept:
        try_all(lambda value, name=name: env.set_state(kept | {name: value}), most=0)
    for name in ("returns", "lengths"):
        try_all(lambda value, name=name: sb3.set_state(kept_sb3 | {name: value}), most=1)
    env.set_state(kept)
    sb3.set_state(kept_sb3)


def test_codes_and_types_of_a_state_are_checked(opened: dict[str, Any]) -> None:
    env = opened["env"]
    kept = env.get_state()
    for name, tensor in kept.items():
        wrong = [tensor.to(torch.float16), torch.cat([tensor, tensor])]
        if name.startswith("state/"):
            wrong += [tensor + 10**6, tensor - 10**6]
        for other in wrong:
            with pytest.raises(WorldGPTError):
                env.set_state(kept | {name: other})
    assert same(env.get_state(), kept)


# a dream of numbers, which the same name opens ---------------------------------------------------


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a dynamics of two numbers that nobody has trained."""
    torch.manual_seed(0)
    states = torch.rand(40, 2)
    whole = torch.zeros(40, dtype=torch.bool)
    first = torch.arange(40) % 10 == 0
    data = VectorTransitions(states, torch.rand(40, 2), states[:, 0], states, whole, first)
    config = VectorDynamicsConfig(members=2, elites=1, width=8, layers=1)
    dynamics = VectorDynamics(2, 2, config)
    fit(dynamics, data, torch.Generator().manual_seed(0), FitConfig(updates=2))
    spec = VectorSpec(("x", "y"), (-2.0, -2.0), (2.0, 2.0))
    acts = ActionSpec("box", (2,), (), (-5.0, -5.0), (5.0, 5.0))
    path = tmp_path_factory.mktemp("numbers") / "model"
    VectorWorldModel.of(dynamics, data, "plane", spec, acts, 30).save(path)
    return str(path)


PUSH = np.zeros(2, np.float32)


@pytest.mark.parametrize("name", arguments_of(WorldGPTEnv.__init__)[1:])
def test_arguments_of_a_dream_of_numbers(numbers: str, name: str) -> None:
    def use(value: Any) -> None:
        env = gym.make("WorldGPT-v0", model=numbers, **{name: value})
        env.reset(seed=0)
        assert np.isfinite(env.step(PUSH)[1])
        env.close()

    try_all(use)


def test_what_is_passed_to_a_dream_of_numbers(numbers: str) -> None:
    env: Any = gym.make("WorldGPT-v0", model=numbers).unwrapped
    env.reset(seed=0)
    try_all(lambda value: env.reset(seed=value))
    try_all(lambda value: env.reset(options=value), most=4)
    for option in OPTIONS:
        try_all(lambda value, option=option: env.reset(options={option: value}), most=12)
    try_all(lambda value: env.reset(options={"observation": {"vector": value}}), most=0)

    def step(action: Any) -> None:
        env.reset(seed=0)
        env.step(action)

    try_all(step, most=0)
    env.reset(seed=0)
    try_all(env.set_state, most=0)
    kept = env.get_state()
    for name in kept:  # two ones may be a state of two numbers
        most = 1 if name == "state" else 0
        try_all(lambda value, name=name: env.set_state(kept | {name: value}), most=most)
    env.set_state(kept)
    assert same(env.get_state(), kept)


# actions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ACTIONS)
def test_actions(kind: str) -> None:
    """Single, vector, Stable-Baselines3's and real worlds refuse the same ones."""
    env = gym.make("WorldGPT-v0", **tiny(kind), horizon=10**6).unwrapped
    vector = gym.make_vec("WorldGPT-v0", num_envs=2, **tiny(kind))
    sb3 = ImaginedVecEnv(**tiny(kind), num_envs=2)
    vector.reset(seed=0)
    sb3.reset()

    def step(action: Any) -> None:
        env.reset(seed=0)
        env.step(action)

    try_all(step, most=8)
    for many in (vector.step, sb3.step, sb3.simulator.step):
        try_all(many, most=2)
        try_all(lambda value, many=many: many([value, value]), most=2)


def bad_actions(kind: str, rows: int | None) -> dict[str, Any]:
    """Return arrays that are no actions, of one environment or of ``rows``."""
    good = np.asarray(gym.make("WorldGPT-v0", **tiny(kind)).action_space.sample())
    many = good if rows is None else np.stack([good] * rows)
    arrays: dict[str, Any] = {
        "wholly masked": np.ma.array(many, mask=True),
        "partly masked": np.ma.array(np.atleast_1d(many), mask=False),
        "objects": many.astype(object),
        "complex": many.astype(complex),
        "text": many.astype(str),
        "bool": many.astype(bool),
        "NaN": np.full(many.shape, np.nan, np.float32),
        "infinite": np.full(many.shape, np.inf, np.float32),
        "too small": many - np.asarray(1000, many.dtype),
        "too large": many + np.asarray(1000, many.dtype),
        "another shape": np.stack([many, many]),
        "flat": np.zeros(7, many.dtype),
        "a list": [[[]]],
        "a tensor": torch.from_numpy(np.array(many)),
    }
    if many.dtype.kind == "f":
        arrays["float64"] = many.astype(np.float64)
    else:
        arrays["float32"] = many.astype(np.float32)
    return arrays


@pytest.mark.parametrize("kind", ACTIONS)
def test_arrays_that_are_no_actions_change_nothing(kind: str) -> None:
    env = gym.make("WorldGPT-v0", **tiny(kind)).unwrapped
    vector = gym.make_vec("WorldGPT-v0", num_envs=3, **tiny(kind)).unwrapped
    sb3 = ImaginedVecEnv(**tiny(kind), num_envs=3)
    env.reset(seed=0)
    vector.reset(seed=0)
    sb3.reset()
    for shell, rows in ((env, None), (vector, 3), (sb3, 3)):
        simulator = shell.simulator
        before = copy.deepcopy(simulator.get_state())
        for name, action in bad_actions(kind, rows).items():
            with pytest.raises(InvalidActionError):
                shell.step(action)
            assert same(simulator.get_state(), before), name


def test_a_real_world_and_its_shells_refuse_the_same_arrays() -> None:
    world = TinyWorld()
    world.reset(seed=0)
    venv = LatentVecEnv(DummyVecEnv([TinyWorld] * 3), tiny()["model"])
    venv.reset()
    memory = MemoryVecEnv(venv)
    memory.reset()
    for name, action in bad_actions("discrete", None).items():
        with pytest.raises(InvalidActionError):
            world.step(action)
        assert world._phase == "running", name
    for action in bad_actions("discrete", 3).values():
        for shell in (venv, memory):
            with pytest.raises(InvalidActionError):
                shell.step(action)
    observation, *_ = venv.step(np.zeros(3, np.int64))
    assert len(observation["image"]) == 3


def test_options_of_some_rows_begin_all_or_none() -> None:
    sb3 = ImaginedVecEnv(**tiny(), num_envs=3, horizon=100)
    sb3.seed(0)
    sb3.reset()
    before = copy.deepcopy(sb3.simulator.get_state())
    for wrong in ({"index": 10**6}, {"description": "a flying tiger"}):
        sb3.set_options([{"index": 1}, {"index": 2}, wrong])
        with pytest.raises(WorldGPTError):
            sb3.reset()
        assert same(sb3.simulator.get_state(), before)


# after close -------------------------------------------------------------------------------------


def test_no_shell_of_stable_baselines_goes_on_after_close() -> None:
    imagined = ImaginedVecEnv(**tiny(), num_envs=2)
    state = (imagined.reset(), imagined.get_state())[1]
    around = MemoryVecEnv(ImaginedVecEnv(**tiny(), num_envs=2))
    real = LatentVecEnv(DummyVecEnv([TinyWorld] * 2), tiny()["model"])
    for env in (imagined, around, real):
        env.reset()
        env.step_async(np.zeros(2, np.int64))
        env.close()
        env.close()
        uses: list[Callable[[], object]] = [
            env.reset,
            env.step_wait,
            env.get_images,
            lambda env=env: env.step(np.zeros(2, np.int64)),
            lambda env=env: env.step_async(np.zeros(2, np.int64)),
            lambda env=env: env.seed(0),
            lambda env=env: env.set_options({"index": 1}),
            lambda env=env: env.env_method("render"),
        ]
        if env is not real:
            uses += [env.get_state, lambda env=env: env.set_state(state)]
        for use in uses:
            with pytest.raises(ClosedEnvironmentError, match=r"after close\(\)"):
                use()
