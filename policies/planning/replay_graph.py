"""ReplayGraph: recorded states as a graph in which the shortest path to a goal is found."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
from tqdm import tqdm

from worldgpt_env.model import WorldGPT
from worldgpt_env.start_states import StartStates

from .subgoals import Seen, apart, see


@dataclass(frozen=True)
class ShortestPaths:
    """The shortest paths to a goal.

    Attributes:
        steps: recorded steps to the goal from each place that leads there.
        places: the way itself: the places from there to that of the goal, both included.
        goals: a moment at the goal, by its place.
    """

    steps: dict[int, int]
    places: dict[int, list[int]]
    goals: dict[int, int]

    def stops(self, start: int, every: int) -> list[int]:
        """Return a moment after each ``every`` steps of the way from ``start``, and the goal."""
        way = self.places[start]
        gone = self.steps[start] - np.array([self.steps[place] for place in way])
        passed = np.flatnonzero(np.diff(gone // every, prepend=0) > 0)
        between = [way[place] for place in passed if place < len(way) - 1]
        return [*between, self.goals[way[-1]]]


class ReplayGraph:
    """Recorded moments joined where they are alike, so that episodes cross and paths go on.

    Moments within ``near`` of one are one place; from place to place it takes as many steps as the
    fastest recorded episode took (search on the replay buffer; Eysenbach et al. 2019). With a
    ``near`` of nothing, places are the distinct states of a world.

    Args:
        model: in whose latents moments are compared.
        states: recorded moments with their episode and step.
        near: a :func:`~.subgoals.distance`.

    Attributes:
        place: ``(R,)`` int64, for each moment the one that stands for its place.
    """

    def __init__(self, model: WorldGPT, states: StartStates, near: float) -> None:
        """Find the places and join them."""
        self._seen = see(model, states.select(np.arange(len(states))))
        self.place = _places(self._seen, near)
        self._back = nx.DiGraph()  # from a place to those that lead there
        self._back.add_nodes_from(self.place.tolist())
        episode, step = states.episode.numpy(), states.step.numpy()
        order = np.lexsort((step, episode))
        for here, there in zip(order[:-1], order[1:], strict=True):
            if episode[here] == episode[there]:
                self._join(int(here), int(there), int(step[there] - step[here]))

    def paths(self, goals: np.ndarray) -> ShortestPaths:
        """Return the shortest paths to the nearest of the moments ``goals`` ``(E,)``."""
        ends = dict(zip(self.place[goals].tolist(), goals.tolist(), strict=True))
        steps, back = nx.multi_source_dijkstra(self._back, set(ends), weight="steps")
        return ShortestPaths(steps, {place: way[::-1] for place, way in back.items()}, ends)

    def nearest(self, here: Seen, paths: ShortestPaths) -> int:
        """Return the place nearest to ``here`` (one row) that ``paths`` lead on from."""
        leads = np.flatnonzero(np.isin(self.place, list(paths.steps)))
        far = apart({m: part[leads] for m, part in self._seen.items()}, here)  # (L,)
        left = np.array([paths.steps[place] for place in self.place[leads].tolist()])
        return int(self.place[leads[np.lexsort((left, far))[0]]])

    def _join(self, here: int, there: int, steps: int) -> None:
        before, after = int(self.place[here]), int(self.place[there])
        known = self._back.get_edge_data(after, before)
        if known is None or steps < known["steps"]:
            self._back.add_edge(after, before, steps=steps)


def _places(seen: Seen, near: float) -> np.ndarray:
    """Return for each moment the first one that is within ``near`` and stands for a place."""
    place = np.full(len(next(iter(seen.values()))), -1)
    with tqdm(desc="graph", total=len(place), unit="moment", disable=None) as bar:
        while len(free := np.flatnonzero(place < 0)):
            one = {m: part[free[:1]] for m, part in seen.items()}
            close = apart({m: part[free] for m, part in seen.items()}, one) <= near
            place[free[close]] = free[0]
            bar.update(int(close.sum()))
    return place
