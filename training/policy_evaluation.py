"""Policy evaluation: whole episodes of a policy in the real world, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from worldgpt_env.frame_stack import observed_now
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.bounds import EPISODES, WORLDS, check_fields
from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.policies.baselines import Predictor, RandomPolicy
from worldgpt_env.policies.planning import Planner, build_planner
from worldgpt_env.policies.store import PolicyRecord, load_policy, read_policy
from worldgpt_env.simulator import DEFAULT_WORLD, open_model
from worldgpt_env.worlds import World, make_world
from worldgpt_env.wrappers import check_match, encode_latent

from .intervals import mean_interval, success_interval
from .remembering import with_memory
from .stopwatch import Stopwatch

Observation = dict[str, np.ndarray]
PLANNER = "planner:"
"""What the name of a planner follows, where a policy is asked for."""

See = Callable[[Observation], Observation]
"""From raw observations of several worlds, ``(B, ...)`` per key, to what the policy sees."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What ``worldgpt evaluate --policy`` does.

    Attributes:
        policy: ``"random"``, a policy folder, ``"planner:cem"`` or another planner, or (with the
            flag) a Stable-Baselines3 zip.
        world: name of the real world; the one the policy dreamt of by default.
        world_options: keyword arguments of ``make_world``, beside those that the model met.
        episodes: how many, each with a seed of its own.
        num_envs: worlds side by side; the codecs then encode them in one batch.
        deterministic: take the most likely action instead of a drawn one.
        seed: episode ``i`` begins with ``seed + i``.
        model: the world model whose codecs see for the policy, the stored one by default; or in
            which a planner looks ahead, the embedded default if none is named.
        settings: of a planner, see :func:`worldgpt_env.policies.planning.build_planner`.
        verbose: print what a planner does in every step.
        allow_code_execution: open a zip, which runs code from inside the file.
        algo: for a zip only: ``"ppo"``, ``"a2c"`` or ``"dqn"``.
    """

    policy: str
    world: str = ""
    world_options: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 50
    num_envs: int = 8
    deterministic: bool = False
    seed: int = 10_000
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    verbose: bool = False
    allow_code_execution: bool = False
    algo: str = ""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_fields(self, episodes=(1, EPISODES), num_envs=WORLDS)
        if self.policy == "random" and self.model:
            raise ConfigurationError("--model cannot be used with --policy random; leave it out.")
        if not self.plans and (self.settings or self.verbose):
            raise ConfigurationError(
                f"{self.policy!r} is no planner; leave --set and --verbose out, "
                "or use --policy planner:cem."
            )

    @property
    def plans(self) -> bool:
        """Whether the policy is a planner."""
        return self.policy.startswith(PLANNER)


@dataclass(frozen=True)
class PolicyResult:
    """What happened in each episode, ``(E,)`` each.

    Of a success the world says so in ``info["is_success"]``; otherwise an episode succeeds when the
    world itself ends it with a positive reward (not death, not the time limit).
    """

    returns: np.ndarray  # sums of rewards
    lengths: np.ndarray  # steps
    successes: np.ndarray  # bool

    def to_json(self) -> dict[str, Any]:
        """Return means with 95 % intervals; one return alone has none."""
        mean, success = mean_interval(self.returns), success_interval(self.successes)
        several = len(self.returns) > 1
        return {
            "episodes": len(self.returns),
            "return": mean.value,
            "return_low": mean.low if several else None,
            "return_high": mean.high if several else None,
            "success": success.value,
            "success_low": success.low,
            "success_high": success.high,
            "length": float(self.lengths.mean()),
        }


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a policy in the real world.

    Returns:
        ``policy``, ``world``, ``deterministic``, ``seconds``, ``cpu_seconds`` and what
        :meth:`PolicyResult.to_json` gives.

    Raises:
        CheckpointError: the policy or its world model is missing or damaged.
        ConfigurationError: policy, model and world do not belong together.
    """
    watch = Stopwatch()
    known = _known(config)
    options = known.options | dict(config.world_options)
    world = make_world(known.world, **options)
    try:
        policy, see = _agent(config, known, world)
    finally:
        world.close()
    result = evaluate_episodes(
        policy,
        lambda: make_world(known.world, **options),
        see,
        episodes=config.episodes,
        num_envs=config.num_envs,
        deterministic=config.deterministic,
        seed=config.seed,
    )
    return {
        "policy": config.policy,
        "world": known.world,
        "deterministic": config.deterministic,
        **result.to_json(),
        **watch.figures(),
    }


@dataclass(frozen=True)
class _Known:
    """What is known of a policy before its world is opened: where it learned, and with what."""

    world: str
    options: dict[str, Any]
    record: PolicyRecord | None = None
    model: WorldGPT | None = None


def _known(config: EvaluateConfig) -> _Known:
    """Return what the policy or the model of a planner says of its world."""
    record = model = None
    world, options = "", {}
    if config.plans:
        model = open_model(config.model or DEFAULT_WORLD)
        world, options = model.config.world, model.config.world_options
    elif config.policy != "random" and Path(config.policy).is_dir():
        record = read_policy(config.policy)
        world = record.extra.get("world", "")
        options = record.extra.get("world_options", {})
    elif config.policy != "random" and not _is_there(config.policy):
        raise CheckpointError(
            f"there is no policy {config.policy!r:.80}; make one with: worldgpt dream --out "
            "POLICY, or use a file of Stable-Baselines3, 'random', or 'planner:cem'."
        )
    name = config.world or world
    if not name:
        raise ConfigurationError("no world to evaluate the policy in was named; add --world NAME.")
    # a world is opened as its model met it
    return _Known(name, dict(options) if name == world else {}, record, model)


def _is_there(policy: str) -> bool:
    """Return whether Stable-Baselines3 would find a file for ``policy``."""
    return Path(policy).exists() or Path(f"{policy}.zip").exists()


def _agent(config: EvaluateConfig, known: _Known, world: World) -> tuple[Predictor, See]:
    """Return the policy named by ``config``, and how it sees ``world``."""
    if known.model is not None:
        check_match(world, known.model)
        name = config.policy.removeprefix(PLANNER)
        planner = build_planner(name, known.model, config.settings, config.seed)
        return (_Traced(planner) if config.verbose else planner), _plainly
    see = eyes(known.record, world, config.model) if known.record else _plainly
    if config.policy == "random":
        return RandomPolicy(world.action_space, config.seed), see
    policy = load_policy(
        config.policy,
        allow_code_execution=config.allow_code_execution,
        algorithm=config.algo,
    )
    return with_memory(policy, known.record.extra if known.record else {}), see


def _plainly(observation: Observation) -> Observation:
    return observation


class _Traced:
    """A planner whose trace is printed, a line per row and step."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        found = self.planner.predict(observation, state, episode_start, deterministic)
        for note in self.planner.trace:
            tqdm.write(str(note))
        return found


def evaluate_episodes(
    policy: Predictor,
    open_world: Callable[[], World],
    see: See,
    *,
    episodes: int,
    num_envs: int = 8,
    deterministic: bool = False,
    seed: int = 10_000,
) -> PolicyResult:
    """Let ``policy`` live ``episodes`` whole episodes; every one of them counts.

    Worlds run side by side and are seen in one batch; a world that has finished takes the next
    episode, so short episodes are not counted more often than long ones.
    """
    torch.manual_seed(seed)
    results: list[tuple[float, int, bool]] = [(0.0, 0, False)] * episodes
    runs = [_Run(open_world(), number, seed) for number in range(min(num_envs, episodes))]
    waiting = iter(range(len(runs), episodes))
    live = list(runs)
    state, starts = None, np.ones(len(live), bool)
    try:
        with tqdm(desc="real world", total=episodes, unit="episode", disable=None) as bar:
            while live:
                keys = live[0].observation
                batch = {key: np.stack([run.observation[key] for run in live]) for key in keys}
                actions, state = policy.predict(see(batch), state, starts, deterministic)
                starts, going = np.zeros(len(live), bool), []
                for row, (run, action) in enumerate(zip(live, actions, strict=True)):
                    starts[row] = run.step(action)
                    number = run.number
                    if starts[row]:
                        results[run.number] = (run.total, run.length, run.success)
                        bar.update()
                        number = next(waiting, -1)
                    if number >= 0:
                        going.append(row)
                    if starts[row] and number >= 0:
                        run.begin(number, seed)
                if len(going) < len(live):
                    live = [live[row] for row in going]
                    state, starts = _state_of(state, going), starts[going]
    finally:
        for run in runs:
            run.world.close()
    returns, lengths, successes = zip(*results, strict=True)
    return PolicyResult(np.array(returns), np.array(lengths), np.array(successes))


def _state_of(state: Any, rows: Sequence[int]) -> Any:
    """Return what a policy remembers of ``rows``; None for policies that remember nothing."""
    return None if state is None or not len(rows) else state.select(rows)


class _Run:
    """One world and the episode that it is in."""

    def __init__(self, world: World, number: int, seed: int) -> None:
        self.world = world
        self.begin(number, seed)

    def begin(self, number: int, seed: int) -> None:
        """Begin episode ``number``."""
        self.number, self.total, self.length, self.success = number, 0.0, 0, False
        self.observation, _ = self.world.reset(seed=seed + number)

    def step(self, action: Any) -> bool:
        """Do ``action``; return whether the episode ended."""
        self.observation, reward, terminated, truncated, info = self.world.step(action)
        self.total += reward
        self.length += 1
        self.success = bool(info.get("is_success", terminated and reward > 0))
        return terminated or truncated


def eyes(record: PolicyRecord, world: World, model: str | WorldGPT = "") -> See:
    """Return how a stored policy sees ``world``: the modalities and codecs that it learned with.

    Raises:
        ConfigurationError: the model is not the one that the policy dreamt in, or the world is not
            the one that the model learned.
    """
    if world.action_space != record.action_space:
        raise ConfigurationError(
            f"the policy chooses from {record.action_space} and {world.world_name!r} offers "
            f"{world.action_space}; evaluate it in {record.extra.get('world', 'its own world')!r}."
        )
    keys = observed_now(record.observation_space)  # type: ignore[arg-type]
    if record.obs_mode == "decoded":
        return lambda observation: {key: observation[key] for key in keys}
    name = model or record.model
    seeing = name if isinstance(name, WorldGPT) else WorldGPT.from_pretrained(name)
    record.check_eyes(seeing)
    check_match(world, seeing)
    return lambda observation: encode_latent(seeing, {key: observation[key] for key in keys})
