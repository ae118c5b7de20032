"""Splits: whole episodes go to train, test or knowledge, and no source is ever in two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldgpt_env.model.errors import ConfigurationError

SPLITS = ("train", "test", "knowledge")


@dataclass(frozen=True)
class SplitShares:
    """How much of the episodes each split gets; the rest is ``train``.

    Attributes:
        test: share of the episodes that models are judged on.
        knowledge: share of the episodes that models may look up, and neither train nor test on.
    """

    test: float = 0.1
    knowledge: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to learn from."""
        if not (self.test >= 0 and self.knowledge >= 0 and self.test + self.knowledge < 1):
            raise ConfigurationError(
                f"the shares are test {self.test} and knowledge {self.knowledge}; "
                "give shares from 0 that leave something to train on."
            )


def split_sources(
    scenario_of: Mapping[str, str], shares: SplitShares | None = None, seed: int = 0
) -> dict[str, str]:
    """Return the split of each source (a video, an episode of a game).

    The sources of each scenario are drawn apart, so that every scenario is in every split with a
    share: at least one source each, as long as one is left to train on.

    Args:
        scenario_of: the scenario of each source. All that was made from one source has its name,
            so that it lands in one split.
        shares: of the sources of each scenario.
        seed: the same seed draws the same ones, in whatever order the sources are given.

    Returns:
        One of :data:`SPLITS` per source, in the order of ``scenario_of``.
    """
    shares = shares or SplitShares()
    scenarios: dict[str, list[str]] = {}
    for source in sorted(scenario_of):
        scenarios.setdefault(scenario_of[source], []).append(source)
    drawn: dict[str, str] = {}
    for scenario in sorted(scenarios):
        generator = np.random.default_rng([seed, *scenario.encode()])
        drawn.update(_draw(scenarios[scenario], shares, generator))
    return {source: drawn[source] for source in scenario_of}


def _draw(
    sources: Sequence[str], shares: SplitShares, generator: np.random.Generator
) -> dict[str, str]:
    """Return the split of each of the ``sources`` of one scenario."""
    free = len(sources) - 1  # one is left to train on
    counts = {}
    kept = int(shares.knowledge > 0)  # for knowledge, where rounding gives test all that is free
    for split, share in (("test", shares.test), ("knowledge", shares.knowledge)):
        wanted = max(round(share * len(sources)), 1) if share else 0
        counts[split] = min(wanted, max(free - kept, min(free, 1)))
        free, kept = free - counts[split], 0
    shuffled = [sources[number] for number in generator.permutation(len(sources))]
    names = [split for split, count in counts.items() for _ in range(count)]
    names += ["train"] * (len(sources) - len(names))
    return dict(zip(shuffled, names, strict=True))


def split_blocks(
    scenario: str, shares: SplitShares | None = None, seed: int = 0, size: int = 10
) -> Iterator[str]:
    """Yield the split of one source after another, for sources that are still being made.

    In every ``size`` sources each split with a share has its part, at least one.
    """
    shares = shares or SplitShares()
    block = 0
    while True:
        generator = np.random.default_rng([seed, block, *scenario.encode()])
        places = [str(place) for place in range(size)]
        drawn = _draw(places, shares, generator)
        yield from (drawn[place] for place in places)
        block += 1
