"""Returns that others published, and random play: what scores are normalised by."""

from __future__ import annotations

from dataclasses import dataclass

ZOO = "SB3 zoo's benchmark.md"


@dataclass(frozen=True)
class Published:
    """A return that somebody else reports.

    Attributes:
        agent: what learned.
        real_steps: that it had.
        value: mean return of the trained agent, most likely actions.
        source: where it stands.
    """

    agent: str
    real_steps: int
    value: float
    source: str


@dataclass(frozen=True)
class Reference:
    """What is known of a world before anything is run.

    Attributes:
        budget: real steps of the agent in the dream, by default.
        random: return of random play.
        solved: return of a very good agent; normalised scores are 0 at ``random`` and 1 here.
        published: returns of others.
    """

    budget: int
    random: float
    solved: float
    published: tuple[Published, ...] = ()


REFERENCES: dict[str, Reference] = {
    "CartPole-v1": Reference(
        1_500, 22, 500,
        (Published("DQN", 50_000, 500.0, ZOO), Published("PPO", 100_000, 500.0, ZOO)),
    ),
    "Pendulum-v1": Reference(
        2_000, -1_200, -125,
        (Published("SAC", 20_000, -157.0, ZOO), Published("TD3", 20_000, -151.9, ZOO)),
    ),
    "Acrobot-v1": Reference(
        5_000, -500, -75,
        (Published("DQN", 100_000, -76.6, ZOO), Published("PPO", 1_000_000, -73.5, ZOO)),
    ),
    "MountainCarContinuous-v0": Reference(
        5_000, -33, 94,
        (Published("SAC", 50_000, 94.7, ZOO), Published("PPO", 20_000, 88.3, ZOO)),
    ),
    "InvertedPendulum-v5": Reference(2_000, 6, 1_000),
    "Reacher-v5": Reference(20_000, -43, -4),
    "MountainCar-v0": Reference(
        5_000, -200, -100,
        (Published("DQN", 120_000, -100.8, ZOO), Published("PPO", 1_000_000, -110.4, ZOO)),
    ),
    "InvertedDoublePendulum-v5": Reference(5_000, 55, 9_350),
}  # fmt: skip
"""The worlds of the benchmark; any other Gymnasium environment of numbers can be named too."""
DEFAULT_BUDGET = 5_000
