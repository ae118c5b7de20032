"""Direct: the control of every claim, the same agent trained in the real world itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from tqdm import tqdm

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import STEPS, WORLDS, check_fields
from worldgpt_env.model.checkpoint import weights_sha256
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.run_settings import check_settings
from worldgpt_env.model.safe_io import RunLock
from worldgpt_env.policies.extractors import default_policy
from worldgpt_env.policies.latent_vec_env import LatentVecEnv
from worldgpt_env.policies.store import read_policy, save_policy
from worldgpt_env.simulator import DEFAULT_WORLD
from worldgpt_env.worlds import make_world

from .imagination import curves, lasting_name
from .remembering import remembered, remembering_of, told_memory
from .stopwatch import Stopwatch

HYPER_PARAMETERS: dict[str, Any] = {
    "learning_rate": 7e-4,
    "n_steps": 128,
    "batch_size": 64,
    "n_epochs": 10,
    "ent_coef": 0.01,
}
"""Few real steps are worth more updates each than imagined ones; the rest is as in the dream."""


@dataclass(frozen=True)
class DirectConfig:
    """What ``worldgpt direct`` does.

    Attributes:
        out: folder of the policy.
        model: name of an embedded world, or folder of a model: its codecs see for the agent.
        world: name of the real world; the one that the model learned by default.
        world_options: keyword arguments of ``make_world``, beside those that the model met.
        steps: real steps in all.
        num_envs: worlds side by side.
        modalities: those that the agent observes; the model's ``agent_modalities`` by default.
        remember: past observations that the agent sees, as in ``worldgpt dream``.
        remember_over: steps over which they are spread evenly; the last ones by default.
        seed: of agent and worlds.
    """

    out: Path
    model: str = DEFAULT_WORLD
    world: str = ""
    world_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 30_000
    num_envs: int = 8
    modalities: tuple[str, ...] | None = None
    remember: int = 0
    remember_over: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(self, steps=STEPS, num_envs=WORLDS)
        remembering_of(self.remember, self.remember_over)

    def identity(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values."""
        free = ["out", "model", "modalities", "world_options"]
        free += [] if self.remember else ["remember", "remember_over"]
        kept = {k: v for k, v in asdict(self).items() if k not in free}
        return kept | {"modalities": list(self.modalities) if self.modalities else None}


def train_directly(config: DirectConfig) -> dict[str, Any]:
    """Train PPO in the real world on the latents that an agent of the dream sees.

    Network, discount and reward scale are those of the dream (``training/imagination.py``).
    A folder that already holds the result of the same call is left as it is.

    Returns:
        ``steps``, ``real_return`` (mean of the last 100 training episodes), ``seconds``,
        ``cpu_seconds``.

    Raises:
        ConfigurationError: ``out`` holds another policy.
        LockedError: another process trains the policy in ``out``.
    """
    with RunLock(config.out):
        return _train_directly(config)


def _train_directly(config: DirectConfig) -> dict[str, Any]:
    """Train the agent with the lock held, or find it."""
    watch = Stopwatch()
    model = WorldGPT.from_pretrained(config.model)
    world, options = config.world or model.config.world, {}
    if world == model.config.world:
        options = model.config.world_options
    options = {**options, **config.world_options}
    identity = config.identity() | {"world": world, "world_options": options}
    figures = _finished(config, identity, model)
    if figures is None:
        figures = _train(config, identity, model, lambda: make_world(world, **options))
    return {"model": str(config.model), "world": world, **figures, **watch.figures()}


def _train(
    config: DirectConfig, identity: dict[str, Any], model: WorldGPT, open_world: Callable[[], Any]
) -> dict[str, Any]:
    """Train the agent, save it and return its figures."""
    bins = model.config.reward_bins
    scale = 1 / max(abs(bins.low), abs(bins.high))
    worlds = VecMonitor(DummyVecEnv([open_world] * config.num_envs))
    try:
        seen = LatentVecEnv(worlds, model, list(config.modalities or model.agent_modalities), scale)
        env = remembered(seen, config.remember, config.remember_over)
        env.seed(config.seed)
        name, kwargs = default_policy(env.observation_space, "latent")
        kwargs["net_arch"] = [128, 128]
        settings = HYPER_PARAMETERS | {"policy_kwargs": kwargs, "seed": config.seed}
        agent = PPO(name, env, device="cpu", **settings)
        with curves(agent, config.out):
            agent.learn(config.steps, callback=_Bar(config.steps))
    finally:
        worlds.close()
    returns = [episode["r"] for episode in agent.ep_info_buffer or ()]
    figures = {
        "steps": agent.num_timesteps,
        "real_return": float(np.mean(returns)) if returns else None,
    }
    save_policy(
        agent,
        config.out,
        model,
        model_name=lasting_name(config.model),
        extra={
            "direct": identity,
            "world": identity["world"],
            "world_options": identity["world_options"],
            "figures": figures,
            **told_memory(config.remember, config.remember_over),
        },
    )
    return figures


def _finished(
    config: DirectConfig, identity: dict[str, Any], model: WorldGPT
) -> dict[str, Any] | None:
    """Return the figures of a finished run in ``config.out``, None if there is none."""
    if not (config.out / "policy.json").exists():
        return None
    record = read_policy(config.out)
    check_settings(config.out, record.extra.get("direct") or {}, identity)
    if record.model_sha256 != weights_sha256(model):
        raise ConfigurationError(
            f"{config.out} holds a policy that sees through another model ({record.model}); "
            "choose another --out."
        )
    return dict(record.extra["figures"])


class _Bar(BaseCallback):
    """A progress bar, quiet when nobody watches."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.bar = tqdm(desc="direct ppo", total=steps, unit="step", disable=None)

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - self.bar.n)
        return True

    def _on_training_end(self) -> None:
        self.bar.close()
