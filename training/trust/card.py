"""TrustCard: the figures that say how far a world model can be trusted, each beside its bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..intervals import Interval
from ..results_io import Figures, Result, to_json
from ..tables import markdown_table


@dataclass(frozen=True)
class Bar:
    """What a figure must reach: at least ``limit``, or at most ``limit`` on either side of 0."""

    limit: float
    at_least: bool

    def holds(self, value: float) -> bool:
        """Return whether ``value`` reaches it."""
        return value >= self.limit if self.at_least else abs(value) <= self.limit

    def __str__(self) -> str:
        """Return it as ``at least 0.95``."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}"


RANK = Bar(0.95, True)
GAP = Bar(0.05, False)
END = Bar(0.05, False)
REWARD = Bar(0.10, False)
ERRORS = Bar(0.85, True)
UNFAMILIAR = Bar(0.90, True)
CONSISTENCY = Bar(0.90, True)
IMPOSSIBLE = Bar(0.005, False)


@dataclass(frozen=True)
class Figure(Result):
    """One line of the card; ``interval`` is None where it was not measured, ``note`` says why."""

    name: str
    interval: Interval | None
    bar: Bar | None = None
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the bar holds; None without a bar, or where nothing was measured."""
        if self.bar is None or self.interval is None:
            return None
        return self.bar.holds(self.interval.value)

    def to_json(self) -> Figures:
        """Return value, bounds, bar, verdict and note."""
        found = (
            self.interval.to_json() if self.interval else dict.fromkeys(("value", "low", "high"))
        )
        bar = str(self.bar) if self.bar else None
        return dict(to_json(found | {"bar": bar, "passed": self.passed, "note": self.note}))

    def row(self) -> list[str]:
        """Return its row of the table."""
        verdict = {True: "pass", False: "FAIL", None: "–"}[self.passed]
        shown = "–"
        if self.interval is not None:
            shown = f"{self.interval.value:.3f} [{self.interval.low:.3f}, {self.interval.high:.3f}]"
        return [self.name, shown, str(self.bar) if self.bar else "", verdict, self.note]


@dataclass(frozen=True)
class PolicyReturns(Result):
    """Returns of one agent, ``(E,)`` each; episode ``i`` of both begins with the same observation.

    ``steps`` tells how long it had learned, where it is a point of a training curve.
    """

    origin: str
    dream: np.ndarray
    real: np.ndarray
    steps: int | None = None

    @classmethod
    def of(cls, told: Mapping[str, object]) -> PolicyReturns:
        """Return what :meth:`to_json` told."""
        dream, real = (np.array(told[side], np.float64) for side in ("dream", "real"))
        steps = told["steps"]
        return cls(str(told["origin"]), dream, real, None if steps is None else int(str(steps)))

    def to_json(self) -> Figures:
        """Return all returns."""
        sides = {"dream": self.dream.tolist(), "real": self.real.tolist()}
        return {"origin": self.origin, "steps": self.steps, **sides}


@dataclass(frozen=True)
class TrustCard(Result):
    """The figures of one world model, and the returns behind them.

    ``policies`` are ranked; ``curve`` has one agent along its training in the dream.
    """

    model: str
    world: str
    figures: tuple[Figure, ...]
    policies: dict[str, PolicyReturns]
    curve: tuple[PolicyReturns, ...] = ()

    @property
    def failed(self) -> list[str]:
        """Names of the figures that miss their bars."""
        return [figure.name for figure in self.figures if figure.passed is False]

    @property
    def passed(self) -> bool:
        """Whether something was measured and every bar that could be measured holds."""
        measured = [figure.passed for figure in self.figures if figure.passed is not None]
        return bool(measured) and all(measured)

    def to_json(self) -> Figures:
        """Return the verdict, each figure by its name, and the returns."""
        figures = {figure.name: figure.to_json() for figure in self.figures}
        told = {"model": self.model, "world": self.world, "passed": self.passed}
        returns = {name: part.to_json() for name, part in self.policies.items()}
        curve = [part.to_json() for part in self.curve]
        return told | {"figures": figures, "policies": returns, "curve": curve}


def report(card: TrustCard) -> str:
    """Return what is printed: the figures, the mean returns, and the verdict."""
    figures = markdown_table(
        ["figure", "value [95 %]", "bar", "verdict", "note"], [f.row() for f in card.figures]
    )
    return "\n\n".join([figures, _returns(card), _verdict(card)])


def _returns(card: TrustCard) -> str:
    """Return the table of mean returns, agents by their real one, then the training curve."""
    best = sorted(card.policies.items(), key=lambda item: -float(item[1].real.mean()))
    rows = [[name, part.origin, *_means(part)] for name, part in best]
    rows += [[f"curve, {part.steps:,} steps", part.origin, *_means(part)] for part in card.curve]
    return markdown_table(["agent", "learned in", "dream return", "real return"], rows)


def _means(part: PolicyReturns) -> list[str]:
    return [f"{side.mean():.3f}" for side in (part.dream, part.real)]


def _verdict(card: TrustCard) -> str:
    measured = sum(figure.passed is not None for figure in card.figures)
    if card.passed:
        return f"{card.model}: all {measured} bars hold"
    failed = "; ".join(card.failed) or "nothing could be measured"
    return f"{card.model}: {len(card.failed)} of {measured} bars fail: {failed}"
