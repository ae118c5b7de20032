"""Dream: train a Stable-Baselines3 agent inside a learned world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from tqdm import tqdm

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import COUNT, ROWS, STEPS, check_fields
from worldgpt_env.model.checkpoint import MANIFEST, weights_sha256
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.model.devices import check_device
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.run_settings import check_settings
from worldgpt_env.model.safe_io import RunLock, write_errors
from worldgpt_env.policies.extractors import default_policy
from worldgpt_env.policies.memory_vec_env import MemoryVecEnv
from worldgpt_env.policies.progress import capture, restore
from worldgpt_env.policies.settings import ALGORITHMS, check_settings_of
from worldgpt_env.policies.store import (
    Progress,
    read_policy,
    read_progress,
    save_policy,
)
from worldgpt_env.policies.vec_env import ImaginedVecEnv
from worldgpt_env.simulator import DEFAULT_WORLD

from .remembering import remembered, remembering_of, told_memory
from .stopwatch import Stopwatch

HYPER_PARAMETERS: dict[str, dict[str, Any]] = {
    "ppo": {
        "learning_rate": 7e-4,
        "n_steps": 32,
        "batch_size": 512,
        "n_epochs": 4,
        "ent_coef": 0.01,
        "net_arch": [128, 128],
    },
    "a2c": {"learning_rate": 7e-4, "n_steps": 8, "ent_coef": 0.01, "net_arch": [128, 128]},
    "dqn": {
        "learning_rate": 5e-4,
        "buffer_size": 50_000,
        "learning_starts": 2_000,
        "batch_size": 128,
        "train_freq": 4,
        "gradient_steps": 32,
        "target_update_interval": 2_000,
        "exploration_fraction": 0.4,
        "net_arch": [128, 128],
    },
}
"""Defaults per algorithm, tuned for 64 imagined episodes side by side; the rest is SB3's own."""


@dataclass(frozen=True)
class DreamConfig:
    """What ``worldgpt dream`` does.

    Attributes:
        out: folder of the policy; a run found there goes on.
        model: name of an embedded world, or folder of a model.
        algo: ``"ppo"``, ``"a2c"`` or ``"dqn"``.
        steps: imagined steps in all.
        num_envs: imagined episodes side by side.
        obs_mode: ``"latent"`` or ``"decoded"``.
        modalities: those that the agent observes; the model's ``agent_modalities`` by default.
        horizon: imagined steps before truncation; the model's own by default.
        start_states: ``"first"``, ``"visited"``, ``"mixed"``, ``"rewarded"`` or a path, see
            :meth:`StartStates.sample`.
        temperature: of the dream; the model's own by default.
        max_uncertainty: a less certain step truncates the episode; never by default.
        uncertainty_penalty: times the uncertainty of a step, taken off its reward.
        memory: ``"raw"`` or ``"reflected"``: how the model reads past steps of an episode; it reads
            none by default.
        memory_count: steps that it reads; as in :class:`MemoryConfig` by default.
        memory_over: steps over which they are spread evenly; the last ones by default.
        knowledge: folder of a knowledge base that the model reads through its reflector.
        remember: past observations that the agent sees beside the present one, and the first of the
            episode; none if 0.
        remember_over: steps over which they are spread evenly; the last ones by default.
        settings: hyper-parameters in place of those in :data:`HYPER_PARAMETERS`.
        save_every: imagined steps between two saves.
        seed: of the agent and of the dreams.
        device: where model and agent compute.
    """

    out: Path
    model: str = DEFAULT_WORLD
    algo: str = "ppo"
    steps: int = 200_000
    num_envs: int = 64
    obs_mode: str = "latent"
    modalities: tuple[str, ...] | None = None
    horizon: int | None = None
    start_states: str = "mixed"
    temperature: float | None = None
    max_uncertainty: float | None = None
    uncertainty_penalty: float = 0.0
    memory: str | None = None
    memory_count: int | None = None
    memory_over: int | None = None
    knowledge: Path | None = None
    remember: int = 0
    remember_over: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    save_every: int = 50_000
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse impossible values; those of the dream itself are checked where it is opened."""
        if self.algo not in ALGORITHMS:
            raise ConfigurationError(f"algo is {self.algo!r}; use one of {sorted(ALGORITHMS)}.")
        check_fields(
            self,
            steps=STEPS,
            num_envs=ROWS,
            save_every=STEPS,
            horizon=COUNT,
            memory_count=COUNT,
            memory_over=COUNT,
        )
        check_device(self.device)
        remembering_of(self.remember, self.remember_over)
        if self.memory is None and (self.memory_count or self.memory_over):
            raise ConfigurationError("say how the model reads its memory: --memory reflected.")

    def identity(self) -> dict[str, Any]:
        """Return what two calls must share for the second to go on with the first, as JSON."""
        free = ["out", "model", "steps", "save_every", "device"]
        free += [] if self.remember else ["remember", "remember_over"]
        free += [] if self.memory else ["memory", "memory_count", "memory_over"]
        free += [] if self.knowledge else ["knowledge"]
        chosen = {name: value for name, value in asdict(self).items() if name not in free}
        if self.knowledge:
            chosen["knowledge"] = str(self.knowledge)
        chosen["modalities"] = list(self.modalities) if self.modalities else None
        return chosen | {"settings": dict(self.settings)}


def dream(config: DreamConfig) -> dict[str, Any]:
    """Train an agent in imagination and keep it in ``config.out``; the same call goes on.

    The run is saved every ``save_every`` steps and on Ctrl-C. PPO and A2C go on bit for bit as if
    they had never been stopped; DQN goes on with an empty replay buffer. With more ``steps`` a
    finished run is trained further. TensorBoard curves lie in ``out/tensorboard``.

    Returns:
        ``steps``, ``imagined_return`` and ``imagined_length`` (means of the last 100 imagined
        episodes; the return in the world's units), ``new_steps``, ``seconds``, ``cpu_seconds``.

    Raises:
        CheckpointError: the model or the policy in ``out`` is damaged, or cannot be written.
        ConfigurationError: ``out`` holds a policy trained differently.
        LockedError: another process trains the policy in ``out``.
    """
    with RunLock(config.out):
        return _dream(config)


def _dream(config: DreamConfig) -> dict[str, Any]:
    """Train the agent with the lock held."""
    watch = Stopwatch()
    model = WorldGPT.from_pretrained(config.model, config.device)
    env = open_dream(config, model)
    progress = _found(config, model)
    agent = build_agent(config, env)
    if progress is not None:
        restore(agent, progress)
    before = agent.num_timesteps
    keeper = _Keeper(config, model)
    if before < config.steps:
        try:
            with curves(agent, config.out):
                agent.learn(config.steps - before, callback=keeper, reset_num_timesteps=False)
        except KeyboardInterrupt:
            keeper.rescue(agent)
            raise
        keeper.save(agent, capture(agent))
    env.close()
    episodes = agent.ep_info_buffer or ()
    return {
        "model": str(config.model),
        "algo": config.algo,
        "steps": agent.num_timesteps,
        "imagined_return": float(np.mean([e["r"] for e in episodes])) if episodes else None,
        "imagined_length": float(np.mean([e["l"] for e in episodes])) if episodes else None,
        "out": str(config.out),
        "new_steps": agent.num_timesteps - before,
        **watch.figures(),
    }


@contextmanager
def curves(agent: BaseAlgorithm, out: Path) -> Iterator[None]:
    """Let ``agent`` write TensorBoard curves into ``out/tensorboard`` within the block."""
    with write_errors(out):
        agent.set_logger(configure(str(out / "tensorboard"), ["tensorboard"]))
        try:
            yield
        finally:
            with suppress(OSError):  # each point was written when it was logged
                agent.logger.close()


def open_dream(config: DreamConfig, model: WorldGPT) -> ImaginedVecEnv | MemoryVecEnv:
    """Return the dream of ``config``, rewards scaled so that the largest recorded one is 1."""
    bins = model.config.reward_bins
    dream = ImaginedVecEnv(
        model,
        config.num_envs,
        config.obs_mode,
        modalities=config.modalities,
        horizon=config.horizon,
        start_states=config.start_states,
        temperature=config.temperature,
        max_uncertainty=config.max_uncertainty,
        uncertainty_penalty=config.uncertainty_penalty,
        memory=_memory(config),
        knowledge=config.knowledge,
        reward_scale=1 / max(abs(bins.low), abs(bins.high)),
        seed=config.seed,
        device=config.device,
    )
    return remembered(dream, config.remember, config.remember_over)


def _memory(config: DreamConfig) -> MemoryConfig | None:
    """Return what the model remembers."""
    if config.memory is None:
        return None
    memory = MemoryConfig(config.memory, horizon=config.memory_over)
    return memory if config.memory_count is None else replace(memory, count=config.memory_count)


def build_agent(config: DreamConfig, env: Any) -> BaseAlgorithm:
    """Return a new agent for ``env`` with the settings of ``config``.

    Raises:
        ConfigurationError: the algorithm has no such setting, or cannot act in this world.
    """
    settings = HYPER_PARAMETERS[config.algo] | dict(config.settings)
    policy, kwargs = default_policy(env.observation_space, config.obs_mode)
    kwargs["net_arch"] = settings.pop("net_arch")
    check_settings_of(ALGORITHMS[config.algo], settings)
    if config.algo == "ppo":
        settings["batch_size"] = min(settings["batch_size"], settings["n_steps"] * env.num_envs)
    try:
        return ALGORITHMS[config.algo](
            policy, env, policy_kwargs=kwargs, seed=config.seed, device=config.device, **settings
        )
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigurationError(f"{config.algo} cannot be set up: {error}") from error


def _found(config: DreamConfig, model: WorldGPT) -> Progress | None:
    """Return the state of the run in ``config.out``, None if there is none yet."""
    if not (config.out / "policy.json").exists():
        return None
    record = read_policy(config.out)
    check_settings(config.out, record.extra.get("dream") or {}, config.identity())
    if record.model_sha256 != weights_sha256(model):
        raise ConfigurationError(
            f"{config.out} holds a policy trained in another world model ({record.model}); "
            "choose another --out."
        )
    return read_progress(config.out)


class _Keeper(BaseCallback):
    """Shows progress and keeps the run, always as it was at the start of a rollout."""

    def __init__(self, config: DreamConfig, model: WorldGPT) -> None:
        super().__init__()
        self.config, self.dream_model = config, model
        self.latest: Progress | None = None
        self.saved = 0
        self.bar: tqdm | None = None

    def _on_training_start(self) -> None:
        done, total = self.num_timesteps, self.config.steps
        label = f"dream {self.config.algo}"
        self.bar = tqdm(desc=label, total=total, initial=done, unit="step", disable=None)
        self.saved = done

    def _on_rollout_start(self) -> None:
        steps = self.model.num_timesteps
        if self.latest is None or steps - self.latest.counters["num_timesteps"] >= 2048:
            self.latest = capture(self.model)
            if steps - self.saved >= self.config.save_every:
                self.save(self.model, self.latest)

    def _on_step(self) -> bool:
        assert self.bar is not None
        self.bar.update(self.num_timesteps - self.bar.n)
        return True

    def _on_rollout_end(self) -> None:
        if self.bar is not None and self.model.ep_info_buffer:
            mean = np.mean([e["r"] for e in self.model.ep_info_buffer])
            self.bar.set_postfix({"return": f"{mean:.2f}"}, refresh=False)

    def _on_training_end(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def rescue(self, agent: BaseAlgorithm) -> None:
        """Save the run as it was at the start of the rollout that was interrupted."""
        self._on_training_end()
        if self.latest is not None:
            restore(agent, self.latest)
            self.save(agent, self.latest)

    def save(self, agent: BaseAlgorithm, progress: Progress) -> None:
        """Write policy and progress in one step."""
        save_policy(
            agent,
            self.config.out,
            self.dream_model,
            model_name=lasting_name(self.config.model),
            obs_mode=self.config.obs_mode,
            extra={
                "dream": self.config.identity(),
                "world": self.dream_model.config.world,
                "world_options": self.dream_model.config.world_options,
                **told_memory(self.config.remember, self.config.remember_over),
            },
            progress=progress,
        )
        self.saved = agent.num_timesteps


def lasting_name(model: str) -> str:
    """Return the name of an embedded world as it is, a folder as an absolute path."""
    return str(Path(model).resolve()) if (Path(model) / MANIFEST).is_file() else str(model)
