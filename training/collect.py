"""Collect: record episodes of a real world; Ctrl-C loses the running episode at most."""

from __future__ import annotations

import operator
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldgpt_env.errors import ContractError
from worldgpt_env.model.array_checks import ObservationCheck, ends_problem, reward_problem
from worldgpt_env.model.bounds import STEPS
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, ModalitySpec
from worldgpt_env.model.safe_io import RunLock
from worldgpt_env.worlds import World, make_world

from .actors import Actor, make_actor
from .data_checks import EpisodeCheck, check_options
from .dataset import Description, read_description
from .episode import Episode, RecordingError
from .recording import Recording
from .shelf import DATA, Shelf


@dataclass(frozen=True)
class CollectConfig:
    """What to record.

    Attributes:
        world: name of the world; ``--env ID`` names any Gymnasium environment.
        steps: how many steps; the last episode is cut there, which counts as truncated.
        out: folder of the dataset.
        policy: ``"random"`` (uniform), ``"least-tried"`` (of the actions one that was tried least
            at this observation in this episode), or the folder of a policy.
        seed: the same seed records the same episodes.
        epsilon: except with ``"random"``, the share of actions that are random.
        break_circles: let ``"least-tried"`` take over for the rest of an episode where a stored
            policy comes to the same observation for the third time.
        world_options: keyword arguments of ``make_world``.
    """

    world: str
    steps: int
    out: str
    policy: str = "random"
    seed: int = 0
    epsilon: float = 0.0
    break_circles: bool = False
    world_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse impossible values, and what ``collect.json`` could not tell again."""
        wanted = {"steps": (1, "record at least one step"), "seed": (0, "give one from 0")}
        for name, (least, cure) in wanted.items():
            value = getattr(self, name)
            try:
                whole = -1 if isinstance(value, bool) else operator.index(value)
            except TypeError:
                whole = -1
            if not least <= whole <= STEPS[1]:
                raise ConfigurationError(
                    f"{name} is {value!r:.80}; {cure}, as a whole number up to {STEPS[1]}."
                )
            object.__setattr__(self, name, whole)
        if not isinstance(self.epsilon, int | float) or not 0 <= self.epsilon <= 1:
            raise ConfigurationError(f"epsilon is {self.epsilon!r:.80}; give a share from 0 to 1.")
        object.__setattr__(self, "epsilon", float(self.epsilon))
        for name in ("world", "out", "policy"):
            object.__setattr__(self, name, str(getattr(self, name)))
        try:
            object.__setattr__(self, "world_options", check_options(self.world_options))
        except RecordingError as error:
            raise ConfigurationError(str(error)) from error

    def settings(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON values."""
        free = ("out",) if self.break_circles else ("out", "break_circles")
        return {key: value for key, value in asdict(self).items() if key not in free}


def collect(config: CollectConfig) -> dict[str, Any]:
    """Record ``config.steps`` steps into a Minari dataset at ``config.out``.

    Finished episodes are kept as they come, so the same call goes on where the last one stopped,
    and ends with the same dataset as one that was never stopped.

    Returns:
        A summary: ``world``, ``out``, ``steps``, ``episodes``, ``mean_return``, ``terminated``
        (share of episodes), and for this call ``new_steps``, ``seconds`` and ``cpu_seconds``.

    Raises:
        RecordingError: the folder holds something else, or cannot be written.
        LockedError: another process records into the folder.
        ConfigurationError: the world or the policy does not exist.
        WorldError: the world cannot start here.
        ContractError: the world breaks its own specs; the episodes before are kept.
    """
    started, cpu = time.perf_counter(), _cpu_seconds()
    folder, new_steps = Path(config.out), 0
    # A finished recording may lie where nobody can write, not even a lock.
    if not ((folder / DATA).exists() and _is_finished(folder, config)):
        with RunLock(folder):
            new_steps = _collect(folder, config)
        Recording.load(folder).tell_lacks()
    figures = read_description(folder).settings
    return {
        **{key: figures[key] for key in ("world", "steps", "episodes", "mean_return")},
        "terminated": figures["terminated"],
        "out": str(folder),
        "new_steps": new_steps,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": _cpu_seconds() - cpu,
    }


def _is_finished(folder: Path, config: CollectConfig) -> bool:
    """Return whether the recording is there, and clear away what it was made of."""
    shelf = Shelf(folder, config.settings())
    if shelf.complete:
        shelf.clear()
    return shelf.complete


def _collect(folder: Path, config: CollectConfig) -> int:
    """Record what is missing, write the dataset, and return the number of new steps."""
    shelf = Shelf(folder, config.settings())
    if shelf.complete:  # by now: another process had the lock
        return 0
    world = make_world(config.world, **config.world_options)
    try:
        check = EpisodeCheck(world.specs, world.action_spec)
        shelf.resume(check, lambda number: _seed(_seeds(config, number)))
        new_steps = config.steps - shelf.steps
        _fill(shelf, world, config, check)
    finally:
        world.close()
    settings = {**config.settings(), **shelf.totals()}
    shelf.finish(Description(config.world, world.specs, world.action_spec, settings))
    return new_steps


def _fill(shelf: Shelf, world: World, config: CollectConfig, check: EpisodeCheck) -> None:
    """Record episodes until the shelf holds all steps."""
    actor = make_actor(config.policy, world, config.epsilon, config.break_circles)
    with tqdm(
        desc=f"collect {config.world}",
        total=config.steps,
        initial=shelf.steps,
        unit="step",
        disable=None,  # quiet when nobody watches
    ) as bar:
        try:
            while shelf.steps < config.steps:
                number = shelf.next_number()
                limit = config.steps - shelf.steps
                try:
                    episode = _record(world, actor, _seeds(config, number), limit, bar)
                    episode = check(episode, "the episode")
                except (ContractError, RecordingError) as error:
                    raise ContractError(
                        f"episode {number} of world {config.world!r} (seed "
                        f"{_seed(_seeds(config, number))}) cannot be recorded: {error} "
                        f"{len(shelf.kept)} episodes are kept in {config.out}; repeat the command "
                        "to go on."
                    ) from error
                shelf.add(number, episode)
        finally:
            shelf.flush()


def _seeds(config: CollectConfig, number: int) -> np.random.SeedSequence:
    """Return where all randomness of an episode comes from."""
    return np.random.SeedSequence([config.seed, number])


def _seed(seeds: np.random.SeedSequence) -> int:
    """Return what the world is reset with."""
    return int(seeds.generate_state(1)[0])


def _record(
    world: World, actor: Actor, seeds: np.random.SeedSequence, limit: int, bar: tqdm
) -> Episode:
    """Live one episode, at most ``limit`` steps; all its randomness comes from ``seeds``."""
    seed, refuse, moments = _seed(seeds), _refusal_of(world), _Moments(world.specs, limit + 1)
    actor.begin(np.random.default_rng(seeds), seed)
    observation, _ = world.reset(seed=seed)
    refuse("reset()", observation, 0.0, False, False)
    moments.add(observation)
    actions: list[Any] = []
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        action = actor(observation)
        observation, reward, terminated, truncated, _ = world.step(action)
        refuse(f"step {len(actions) + 1}", observation, reward, terminated, truncated)
        moments.add(observation)
        actions.append(action)
        rewards.append(reward)
        truncated = truncated or (len(actions) == limit and not terminated)
        bar.update()
    return Episode(
        moments.arrays(),
        np.array(actions),
        np.array(rewards, np.float32),
        terminated,
        truncated,
        seed,
    )


def _refusal_of(world: World) -> Callable[..., None]:
    """Return what refuses a step that breaks the specs; nothing where ``World.step`` does so."""
    if type(world).step is World.step and type(world).reset is World.reset:
        return lambda *_: None
    check = ObservationCheck(world.specs)

    def refuse(when: str, observation: Any, reward: Any, terminated: Any, truncated: Any) -> None:
        problem = (
            check.problem(observation)
            or reward_problem(reward)
            or ends_problem(terminated, truncated)
        )
        if problem:
            raise ContractError(f"{when} of the episode: {problem}.")

    return refuse


class _Moments:
    """The observations of an episode, each copied: a world may write into its own arrays again."""

    def __init__(self, specs: Mapping[Modality, ModalitySpec], most: int) -> None:
        self._count, self._most = 0, most
        size = min(most, 64)
        self._arrays = {m: np.empty((size, *spec.shape), spec.dtype) for m, spec in specs.items()}
        self._by_key = [(str(modality), array) for modality, array in self._arrays.items()]

    def add(self, observation: Mapping[str, np.ndarray]) -> None:
        """Copy an observation that fits the specs."""
        if self._count == len(self._by_key[0][1]):
            self._grow()
        for key, array in self._by_key:
            array[self._count] = observation[key]
        self._count += 1

    def arrays(self) -> dict[Modality, np.ndarray]:
        """Return all of them, ``(T + 1, *shape)``."""
        return {modality: array[: self._count] for modality, array in self._arrays.items()}

    def _grow(self) -> None:
        size = min(self._most, 2 * self._count)
        for modality, array in self._arrays.items():
            self._arrays[modality] = np.empty((size, *array.shape[1:]), array.dtype)
            self._arrays[modality][: self._count] = array
        self._by_key = [(str(modality), array) for modality, array in self._arrays.items()]


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its ended children (the game)."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
