"""Everything that is written to disk, small: how it is made, used, and sealed after a change."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_world
import toy_worlds
from door_samples import Walk

from worldgpt_env.model import Modality, WorldGPT
from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.checkpoint import seal
from worldgpt_env.model.cognition.chunks import ChunkStore
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.modalities import ActionSpec, ImageSpec, VectorSpec
from worldgpt_env.model.safe_tensors import read_tensors, save_tensors
from worldgpt_env.model.trainer import Stage, Trainer
from worldgpt_env.model.vector_dynamics import (
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel
from worldgpt_env.policies.extractors import default_policy
from worldgpt_env.policies.store import (
    Progress,
    _json_sha256,
    load_policy,
    read_progress,
    save_policy,
)
from worldgpt_env.start_states import ResetOptions, Starter
from worldgpt_env.training import dataset_description
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.worldnet.format.annotation import StateFiles, WorldNetError
from worldgpt_env.training.worldnet.format.folder import WorldNetDescription, WorldNetWriter
from worldgpt_env.training.worldnet.format.load import load_worldnet
from worldgpt_env.training.worldnet.format.vectors import VectorStore, write_vectors
from worldgpt_env.worlds import registry


@dataclass(frozen=True)
class Artifact:
    """One kind of thing on disk.

    Attributes:
        name: of it.
        build: writes one into a folder, different ones by a seed.
        use: opens the one in a folder and does with it what it is for; returns a hash of all that
            came of it.
        reseal: makes a changed one look as if it had been written so; None where nothing is sealed.
    """

    name: str
    build: Callable[[Path, int], None]
    use: Callable[[Path], str]
    reseal: Callable[[Path], None] | None = None


def digest(*parts: Any) -> str:
    """Return a hash of arrays, tensors, and anything with a ``repr`` that tells it."""
    total = hashlib.sha256()
    for part in _flat(parts):
        total.update(part if isinstance(part, bytes) else repr(part).encode())
    return total.hexdigest()


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield str(name)
            yield from _flat(part)
    elif isinstance(value, list | tuple):
        yield len(value)
        for part in value:
            yield from _flat(part)
    elif isinstance(value, torch.Tensor):
        yield from _flat(value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype} {value.shape}"
        yield np.ascontiguousarray(value).tobytes()
    else:
        yield value


@lru_cache
def model_of(seed: int) -> WorldGPT:
    """Return a tiny model of every modality."""
    return tiny_world.build_model(context=2 + seed, horizon=12 + seed)


# models -----------------------------------------------------------------------------------------


def build_model(folder: Path, seed: int) -> None:
    tiny_world.save_model(model_of(seed), folder)


def use_model(folder: Path) -> str:
    env = gym.make("WorldGPT-v0", model=str(folder), obs_mode="decoded").unwrapped
    seen: list[Any] = [env.observation_space, env.action_space]
    env.action_space.seed(0)
    actions = (0, 1) if env.action_space.shape == () else [env.action_space.sample()] * 2
    try:
        seen.append(env.reset(seed=3))
        for action in actions:
            seen.append(env.step(action))
            if seen[-1][2] or seen[-1][3]:
                break
    finally:
        env.close()
    return digest(seen)


def reseal_folder(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        reseal_tensors(path)
    seal(folder)


def reseal_tensors(path: Path) -> None:
    """Write the tensors of ``path`` again, with a checksum of what they are now."""
    try:
        names = {name.partition("/")[0] for name in _names_of(path)}
        save_tensors(path, read_tensors(path, unchecked=names))
    except Exception:  # it was damaged beyond that, or the checksum tells so
        return


def _names_of(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return list(file.keys())


# worlds of numbers ------------------------------------------------------------------------------


@lru_cache
def numbers_of(seed: int) -> VectorWorldModel:
    """Return a little dynamics of two numbers, hardly fitted."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    states, actions = (2 * torch.rand(60, 2, generator=generator) - 1 for _ in range(2))
    following = states + 0.1 * actions
    first, ended = torch.arange(60) % 12 == 0, following[:, 0] > 1
    data = VectorTransitions(states, actions, actions[:, 1], following, ended, first)
    dynamics = VectorDynamics(2, 2, VectorDynamicsConfig(members=3, elites=2, width=8, layers=1))
    fit(dynamics, data, generator, FitConfig(updates=10))
    spec = VectorSpec(("x", "y"), (-2.0, -2.0), (2.0, 2.0))
    acts = ActionSpec("box", (2,), (), (-5.0, -5.0), (5.0, 5.0))
    return VectorWorldModel.of(dynamics, data, "plane", spec, acts, 12 + seed)


def build_numbers(folder: Path, seed: int) -> None:
    numbers_of(seed).save(folder)


# start states -------------------------------------------------------------------------------------


def build_starts(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tiny_world.build_start_states(model_of(0)).subset(torch.arange(20) + seed).save(folder)


def use_starts(folder: Path) -> str:
    starter = Starter(model_of(0), folder)
    states = starter.states
    start = starter.start(ResetOptions(), np.arange(8, dtype=np.uint64))
    found = states.descriptions(tiny_world.SPECS[Modality.TEXT]).weight  # type: ignore[arg-type]
    parts = (states.codes, states.first, states.episode, states.step, states.present, states.reward)
    near = states.sample("rewarded", np.arange(8, dtype=np.uint64))
    return digest(parts, start.state, start.index, start.present, found, near)


def reseal_starts(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        reseal_tensors(path)


# knowledge --------------------------------------------------------------------------------------


def build_knowledge(folder: Path, seed: int) -> None:
    model, generator = model_of(0), torch.Generator().manual_seed(seed)
    rows = 30

    def state() -> dict[Modality, torch.Tensor]:
        return {
            m: torch.randint(
                0, model.codec(m).levels, (rows, model.codec(m).cells, model.codec(m).digits),
                generator=generator,
            )
            for m in model.specs
        }  # fmt: skip

    Knowledge.build(
        model.processor, state(), torch.randint(0, 3, (rows,), generator=generator), state(),
        torch.arange(rows) // 5, [f"kind {n % 3}" for n in range(rows)],
        {Modality.IMAGE: torch.arange(rows) % 7 != 0},
    ).save(folder)  # fmt: skip


def use_knowledge(folder: Path) -> str:
    model = model_of(0)
    knowledge = Knowledge.load(folder, model.processor)
    store, first = knowledge.store, knowledge.rows[:4]
    state, action = store.states(first), store.action[first]
    found = knowledge.search(state, action, 3, episode=store.episode[first])
    contexts = knowledge.contexts(found)
    shown = model.predict(state, action, contexts=contexts, reflected=False)
    parts = (
        contexts.state,
        contexts.action,
        contexts.next_state,
        contexts.valid,
        contexts.distance,
    )
    told = (found.index, found.distance, knowledge.scenarios, store.tensors())
    return digest(told, parts, shown.state, shown.rewards)


# policies ---------------------------------------------------------------------------------------


def build_policy(folder: Path, seed: int) -> None:
    env = make_vec_env(lambda: toy_worlds.ButtonWorld("latent"), n_envs=2, seed=0)
    name, kwargs = default_policy(env.observation_space, "latent")
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "device": "cpu"}
    agent = PPO(name, env, policy_kwargs=kwargs, seed=seed, **settings).learn(16)
    tensors = {"env/steps": torch.tensor([1.0, torch.nan]), "starts": torch.tensor([True])}
    counters = {"num_timesteps": 16, "episodes": [[1.0, 3]]}
    save_policy(agent, folder, extra={"note": [1, None]}, progress=Progress(tensors, counters))


def use_policy(folder: Path) -> str:
    agent, progress = load_policy(folder), read_progress(folder)
    kept = None if progress is None else (progress.tensors, progress.counters)
    space = toy_worlds.ButtonWorld("latent").observation_space
    space.seed(0)
    seen = [space.sample() for _ in range(3)]
    acted = [agent.predict(observation, deterministic=True)[0] for observation in seen]
    known = [agent.policy.predict_values(agent.policy.obs_to_tensor(o)[0]) for o in seen]
    return digest(acted, known, kept, agent.num_timesteps)


def reseal_policy(folder: Path) -> None:
    """Name and hash the tensor files as they are now, then the JSON."""
    content = json.loads((folder / "policy.json").read_text())
    for path in folder.glob("*.safetensors"):
        key, sha256 = path.name.split("-")[0], hashlib.sha256(path.read_bytes()).hexdigest()
        if sha256[:12] not in path.name:
            name = f"{key}-{sha256[:12]}.safetensors"
            content["files"][key] = {"name": name, "sha256": sha256}
            path.rename(folder / name)
    content.pop("sha256", None)
    content["sha256"] = _json_sha256(content)
    (folder / "policy.json").write_text(json.dumps(content))


# trainings that were cut ------------------------------------------------------------------------


class Quiet:
    """Hears of progress and says nothing."""

    def start(self, stage: str, updates: int, done: int) -> None:
        """Begin."""

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        """Hear."""


def training(folder: Path, seed: int = 0) -> tuple[nn.Module, Trainer, Stage]:
    """Return a small training in ``folder / "state"``."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss(update: int) -> LossOutput:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(update))
        error = (model(x) - x.prod(1, keepdim=True)).square().mean()
        return LossOutput(error, {"error": error.detach()})

    settings = {"seed": 0, "rate": 0.1, "stages": ["fit"]}
    trainer = Trainer(model, folder / "state", Quiet(), save_every=10, settings=settings)
    return model, trainer, Stage("fit", 30, 0.1, loss, list(model.parameters()))


def build_training(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _, trainer, stage = training(folder, seed)

    class Cut(Quiet):
        def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
            raise KeyboardInterrupt

    trainer.observer = Cut()
    try:
        trainer.run(stage)  # two saves, at 10 and 20
    except KeyboardInterrupt:
        return


def use_training(folder: Path) -> str:
    model, trainer, stage = training(folder)
    trainer.run(stage)
    return digest(dict(model.state_dict()))


def reseal_training(folder: Path) -> None:
    for part in ("state", "state.previous"):
        if (folder / part).is_dir():
            reseal_folder(folder / part)


# memories that were put aside -------------------------------------------------------------------


def build_memory(folder: Path, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    steps = torch.randint(0, 5, (3, 4, 6), generator=generator)
    vectors = torch.randn(3, 4, 8, generator=generator)
    save_tensors(folder / "chunk.safetensors", {"state/image": steps, "state/vector": vectors})


def use_memory(folder: Path) -> str:
    return digest(ChunkStore(None).read(folder / "chunk.safetensors"))


# recordings -------------------------------------------------------------------------------------


def build_recording(folder: Path, seed: int) -> None:
    from test_training_recording import DISCRETE, LENGTHS, SPECS, episode

    episodes = [episode(number + 10 * seed, length) for number, length in enumerate(LENGTHS)]
    Recording(f"made-up-{seed}", SPECS, DISCRETE, episodes).save(folder)


def use_recording(folder: Path) -> str:
    recording = Recording.load(folder)
    episodes = [
        (e.observations, e.actions, e.rewards, e.terminated, e.truncated, e.seed, e.present)
        for e in recording.episodes
    ]
    return digest(recording.world, repr(recording.specs), repr(recording.action_spec), episodes)


def reseal_recording(folder: Path) -> None:
    dataset_description.seal(folder / "data")


CUT = 12
"""Steps after which a recording is stopped."""


class Once(Walk):
    """A world that raises Ctrl-C once."""

    left = CUT

    def _step(self, action: int) -> Any:
        type(self).left -= 1
        if type(self).left < 0:
            raise KeyboardInterrupt
        return super()._step(action)


def _collect(folder: Path, world: type[Walk], seed: int = 3) -> None:
    registry._WORLDS["walk"] = world
    collect(CollectConfig(world="walk", steps=20, out=str(folder), seed=seed))


def build_collect(folder: Path, seed: int) -> None:
    try:
        _collect(folder, type("Cut", (Once,), {}), 3 + seed)
    except KeyboardInterrupt:
        return


def use_collect(folder: Path) -> str:
    _collect(folder, Walk)
    return use_recording(folder)


# WorldNets ---------------------------------------------------------------------------------------


def build_worldnet(folder: Path, seed: int) -> None:
    import small_worldnet as small

    specs = {m: small.SPECS[m] for m in (Modality.IMAGE, Modality.TEXT, Modality.VECTOR)}
    told = WorldNetDescription("dots", specs, small.ACTION, ("day",), {"seed": seed})
    with WorldNetWriter(folder, told) as writer:
        moments = [small.moment(3 * n + seed, video=None, audio=None) for n in range(4)]
        writer.add_sequence("train", moments, ["go right"] * 3, scenario="day", episode="e")


def use_worldnet(folder: Path) -> str:
    loaded = load_worldnet(folder)
    if loaded.rejected:  # what training says of them, and goes on with the rest
        raise WorldNetError(loaded.rejected[0].reason)
    recording = loaded.recording
    episodes = [(e.observations, e.actions, e.rewards, e.present) for e in recording.episodes]
    return digest(recording.world, repr(recording.specs), repr(recording.action_spec), episodes)


def build_vectors(folder: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    table = {f"{n}.jpg": draw.normal(size=8).astype(np.float32) for n in range(3)}
    write_vectors(folder, "train", Modality.IMAGE, "clip", table)


def use_vectors(folder: Path) -> str:
    rows = VectorStore(folder, "clip").rows(
        [StateFiles(image=f"{n}.jpg") for n in range(3)], {Modality.IMAGE: ImageSpec(16, 16)}
    )
    return digest(rows)


ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        Artifact("model", build_model, use_model, reseal_folder),
        Artifact("world of numbers", build_numbers, use_model, reseal_folder),
        Artifact("start states", build_starts, use_starts, reseal_starts),
        Artifact("knowledge", build_knowledge, use_knowledge, reseal_folder),
        Artifact("policy", build_policy, use_policy, reseal_policy),
        Artifact("training that was cut", build_training, use_training, reseal_training),
        Artifact("memory put aside", build_memory, use_memory, reseal_starts),
        Artifact("recording", build_recording, use_recording, reseal_recording),
        Artifact("recording that was cut", build_collect, use_collect),
        Artifact("WorldNet", build_worldnet, use_worldnet, reseal_folder),
        Artifact("encoder vectors", build_vectors, use_vectors, reseal_starts),
    )
}
warnings.filterwarnings("ignore")
