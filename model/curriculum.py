"""Progressive training: combinations of modalities, their four classes, and when each begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations as subsets

import numpy as np

from .errors import ConfigurationError
from .modalities import Modality

SCHEDULES = ("progressive", "naive", "static", "complete")


class Kind(StrEnum):
    """The four classes of combinations, in the order in which they are learned (WorldGPT §3.2)."""

    SINGLE_SAME = "single_same"
    SINGLE_OTHER = "single_other"
    SEVERAL_SAME = "several_same"
    SEVERAL_OTHER = "several_other"


@dataclass(frozen=True)
class Combination:
    """What is read and what is predicted; both in token order, ``outputs`` never empty."""

    inputs: tuple[Modality, ...]
    outputs: tuple[Modality, ...]

    def __post_init__(self) -> None:
        """Sort both sides, and refuse a combination that predicts nothing."""
        for side in ("inputs", "outputs"):
            chosen = set(getattr(self, side))
            object.__setattr__(self, side, tuple(m for m in Modality if m in chosen))
        if not self.outputs:
            raise ConfigurationError("a combination needs at least one output modality.")

    @classmethod
    def parse(cls, name: str) -> Combination:
        """Return the combination called ``name``, such as ``"image+audio>video"``."""
        inputs, arrow, outputs = name.partition(">")
        try:
            sides = [
                tuple(Modality(part.strip()) for part in side.split("+") if part.strip())
                for side in (inputs, outputs)
            ]
        except ValueError as error:
            raise ConfigurationError(
                f"combination {name!r}: {error}; there are {[str(m) for m in Modality]}."
            ) from error
        if not arrow:
            raise ConfigurationError(f"combination {name!r} has no '>'; write 'image+audio>video'.")
        return cls(*sides)

    @property
    def name(self) -> str:
        """The combination in one word, such as ``image+audio>video``."""
        return ">".join("+".join(map(str, side)) for side in (self.inputs, self.outputs))

    @property
    def kind(self) -> Kind:
        """The class of the combination."""
        same = self.inputs == self.outputs
        if len(self.inputs) == len(self.outputs) == 1:
            return Kind.SINGLE_SAME if same else Kind.SINGLE_OTHER
        return Kind.SEVERAL_SAME if same else Kind.SEVERAL_OTHER


def combinations(modalities: Iterable[Modality]) -> list[Combination]:
    """Return all combinations of non-empty subsets: 49 for three modalities, 961 for five."""
    ordered = [m for m in Modality if m in set(modalities)]
    sides = [s for size in range(1, len(ordered) + 1) for s in subsets(ordered, size)]
    return [Combination(inputs, outputs) for inputs in sides for outputs in sides]


class Curriculum:
    """Which combination each update learns.

    ``progressive`` begins with the combinations of one modality to itself; a class of combinations
    enters with every quarter of the updates (WorldGPT §3.2). The classes that have entered are
    equally likely, and so are the combinations of a class. ``naive`` is the mixture of the last
    quarter from the start. ``static`` reads no state at all: the action's words alone say what
    comes, as a text to image generator does. ``complete`` reads and predicts everything, always:
    for an environment.

    Args:
        modalities: of the world.
        schedule: one of :data:`SCHEDULES`.
        without: combinations that are never trained.
        seed: of all draws; the same update number always draws the same combination.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        schedule: str = "complete",
        without: Iterable[Combination] = (),
        seed: int = 0,
    ) -> None:
        """See the class."""
        if schedule not in SCHEDULES:
            raise ConfigurationError(f"schedule {schedule!r} is unknown; there are {SCHEDULES}.")
        self.schedule, self.seed = schedule, seed
        self.complete = Combination(tuple(modalities), tuple(modalities))
        whole = self._all(modalities)
        left_out = set(without)
        self.combinations = [c for c in whole if c not in left_out]
        unknown = [c.name for c in left_out if c not in whole]
        if unknown or not self.combinations:
            raise ConfigurationError(
                f"schedule {schedule!r} cannot leave out {unknown or 'everything'}; it has "
                f"{len(whole)} combinations such as {whole[0].name!r}."
            )

    def _all(self, modalities: Sequence[Modality]) -> list[Combination]:
        if self.schedule == "complete":
            return [self.complete]
        if self.schedule == "static":
            return [Combination((), (m,)) for m in modalities] + [
                Combination((), self.complete.outputs)
            ]
        return combinations(modalities)

    def entered(self, progress: float) -> list[Kind]:
        """Return the classes that have entered at ``progress`` in [0, 1) of the training."""
        kinds = [kind for kind in Kind if any(c.kind is kind for c in self.combinations)]
        if self.schedule != "progressive":
            return kinds
        return kinds[: 1 + int(progress * len(kinds))]

    def combination(self, update: int, updates: int) -> Combination:
        """Return what ``update`` of ``updates`` learns."""
        generator = np.random.default_rng([self.seed, 7, update])
        if self.schedule == "static":
            return self.combinations[int(generator.integers(len(self.combinations)))]
        kinds = self.entered(update / updates)
        kind = kinds[int(generator.integers(len(kinds)))]
        members = [c for c in self.combinations if c.kind is kind]
        return members[int(generator.integers(len(members)))]
