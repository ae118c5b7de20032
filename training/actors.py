"""Actors: who plays while a real world is recorded, one world at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.worlds import World

Observation = dict[str, np.ndarray]
"""One moment, raw, by modality."""

MOST_VISITS = 2
"""A policy that comes to an observation once more in an episode is lost."""


class Actor(Protocol):
    """Chooses the actions of one episode after another."""

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """Forget the episode before; draw everything from ``generator`` and ``seed``."""

    def __call__(self, observation: Observation) -> Any:
        """Return the action at ``observation``."""


def make_actor(policy: str, world: World, epsilon: float, break_circles: bool = False) -> Actor:
    """Return the actor that is asked for.

    Args:
        policy: ``"random"``, ``"least-tried"``, or the folder of a policy.
        world: in which it acts.
        epsilon: the share of actions that are random all the same.
        break_circles: let a stored policy act only until it is lost, see :class:`CircleBreaker`.

    Raises:
        ConfigurationError: the policy cannot act in this world.
    """
    if policy == "random":
        return Uniform(world.action_space)
    if policy == "least-tried":
        return Mixed(LeastTried(world.action_space), world.action_space, epsilon)
    actor: Actor = Mixed(StoredActor(policy, world), world.action_space, epsilon)
    return CircleBreaker(actor, world.action_space) if break_circles else actor


class Uniform:
    """Draws evenly from all actions."""

    def __init__(self, space: spaces.Space) -> None:
        """Act in ``space``."""
        self._space = space

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """See :class:`Actor`."""
        self._space.seed(seed)

    def __call__(self, observation: Observation) -> Any:
        """See :class:`Actor`."""
        return self._space.sample()


class LeastTried:
    """Of all actions, draws from those that were tried least at this observation so far.

    It counts within an episode and needs observations that come again to the last bit, as those of
    a grid do; where they never do, it is :class:`Uniform`. A grid is walked through several times
    as fast as at random (the simplest count-based exploration; Thrun 1992).
    """

    def __init__(self, space: spaces.Space) -> None:
        """Refuse actions that cannot be counted."""
        if not isinstance(space, spaces.Discrete):
            raise ConfigurationError(
                f"the policy least-tried counts actions, and {space} has no numbered ones; "
                "record with --policy random."
            )
        self._first, self._count = int(space.start), int(space.n)

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """See :class:`Actor`."""
        self._generator = generator
        self._tried: dict[bytes, np.ndarray] = {}

    def __call__(self, observation: Observation) -> int:
        """See :class:`Actor`."""
        tried = self._at(observation)
        action = int(self._generator.choice(np.flatnonzero(tried == tried.min())))
        tried[action] += 1
        return self._first + action

    def visits(self, observation: Observation) -> int:
        """Return how many actions this episode has tried at ``observation``."""
        return int(self._at(observation).sum())

    def note(self, observation: Observation, action: int) -> None:
        """Count an action that another actor chose."""
        self._at(observation)[int(action) - self._first] += 1

    def _at(self, observation: Observation) -> np.ndarray:
        """Return how often each action was tried at ``observation``, ``(A,)``, to be counted on."""
        here = b"".join(observation[key].tobytes() for key in sorted(observation))
        return self._tried.setdefault(here, np.zeros(self._count, np.int64))


class StoredActor:
    """A stored policy, which sees through the codecs of its model if it learned in latents."""

    def __init__(self, path: str, world: World) -> None:
        """Open the policy at ``path`` and, for latent observations, the model it dreamt in."""
        from worldgpt_env.policies.store import load_policy, read_policy  # these import torch

        from .policy_evaluation import eyes
        from .remembering import with_memory

        record = read_policy(path)
        self._see = eyes(record, world)
        self._algorithm = with_memory(load_policy(path), record.extra)
        self._state: Any = None

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """See :class:`Actor`."""
        import torch

        torch.manual_seed(seed)
        self._state = None

    def __call__(self, observation: Observation) -> Any:
        """Return a drawn action."""
        seen = self._see({key: value[None] for key, value in observation.items()})
        actions, self._state = self._algorithm.predict(seen, self._state, deterministic=False)
        return actions[0]


class Mixed:
    """Another actor, with a share of random actions; it sees every moment, and so can remember."""

    def __init__(self, actor: Actor, space: spaces.Space, epsilon: float) -> None:
        """Mix ``epsilon`` of random actions into those of ``actor``."""
        self._actor, self._random, self._epsilon = actor, Uniform(space), epsilon

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """See :class:`Actor`."""
        self._generator = generator
        self._actor.begin(generator, seed)
        self._random.begin(generator, seed)

    def __call__(self, observation: Observation) -> Any:
        """See :class:`Actor`."""
        explores = self._generator.random() < self._epsilon
        action = self._actor(observation)
        return self._random(observation) if explores else action


class CircleBreaker:
    """Another actor, until it walks in circles: the rest of the episode tries what is least tried.

    A policy that is lost comes to the same few observations until the episode ends, and what it
    records holds nothing new.
    """

    def __init__(self, actor: Actor, space: spaces.Space) -> None:
        """Refuse actions that cannot be counted."""
        self._actor, self._tried = actor, LeastTried(space)

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """See :class:`Actor`."""
        self._actor.begin(generator, seed)
        self._tried.begin(generator, seed)
        self._lost = False

    def __call__(self, observation: Observation) -> Any:
        """See :class:`Actor`."""
        action = self._actor(observation)
        self._lost |= self._tried.visits(observation) >= MOST_VISITS
        if self._lost:
            return self._tried(observation)
        self._tried.note(observation, action)
        return action
