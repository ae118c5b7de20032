"""Knowledge: recordings become a knowledge base that a model is shown transitions of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.bounds import check_fields
from worldgpt_env.model.cognition.fingerprints import fingerprints
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_io import RunLock
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.model.worldgpt import WorldGPT

from .encoding import encode_recording
from .recording import Recording
from .stopwatch import Stopwatch
from .worldnet.format.load import load_recording


@dataclass(frozen=True)
class KnowledgeBuildConfig:
    """What ``worldgpt knowledge`` does.

    Attributes:
        model: whose codecs make the keys: embedded world or folder.
        data: recordings, or WorldNet folders.
        out: folder of the knowledge base.
        split: of WorldNet folders.
        scenarios: only of these; of all by default.
        per_scenario: transitions that are drawn of each scenario; all if None (WorldGPT §5.2 has
            200).
        distinct: keep transitions that are the same only once.
        seed: of the draw.
    """

    model: str
    data: tuple[Path, ...]
    out: Path
    split: str = "train"
    scenarios: tuple[str, ...] = ()
    per_scenario: int | None = None
    distinct: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a base of nothing."""
        check_fields(self)
        _check_count(self.per_scenario)


def build_knowledge(config: KnowledgeBuildConfig) -> dict[str, Any]:
    """Write the knowledge base of recordings; an older one at its place is replaced.

    Returns:
        What it holds: ``transitions``, of how many ``recorded``, ``episodes`` and ``scenarios``.

    Raises:
        LockedError: another process writes to ``config.out``.
    """
    watch = Stopwatch()
    with RunLock(config.out):
        recording = load_recording(list(config.data), config.split).of(config.scenarios)
        model = WorldGPT.from_pretrained(config.model)
        knowledge = knowledge_from(
            model, recording, config.per_scenario, distinct=config.distinct, seed=config.seed
        )
        knowledge.save(config.out)
    names = np.array(knowledge.scenarios)[knowledge.scenario.numpy()]
    return {
        "knowledge": str(config.out),
        "model": config.model,
        "transitions": len(knowledge),
        "recorded": recording.steps,
        "episodes": len(knowledge.episode.unique()),
        "scenarios": {str(name): int((names == name).sum()) for name in knowledge.scenarios},
        **watch.figures(),
    }


def knowledge_from(
    model: WorldGPT,
    recording: Recording,
    per_scenario: int | None = None,
    *,
    distinct: bool = True,
    seed: int = 0,
) -> Knowledge:
    """Return the knowledge base of a recording; see :class:`KnowledgeBuildConfig`.

    The number of an episode is its place in the recording, also of those that are not drawn: a
    query that names one is given nothing of what happened in it.
    """
    store = encode_recording(model.processor, recording)
    return knowledge_of(model, store, per_scenario, distinct=distinct, seed=seed)


def knowledge_of(
    model: WorldGPT,
    store: TransitionStore,
    per_scenario: int | None = None,
    *,
    distinct: bool = True,
    seed: int = 0,
) -> Knowledge:
    """Return the knowledge base of a recording that is encoded already.

    Args:
        model: that encoded it.
        store: the encoded recording.
        per_scenario: transitions that are drawn of each scenario; all if None.
        distinct: keep transitions that are the same only once.
        seed: of the draw.
    """
    kept = drawn(store, per_scenario, distinct, seed)
    return Knowledge.over(model.processor, store, kept)


def neighbours(
    model: WorldGPT, knowledge: Knowledge | Path, store: TransitionStore
) -> Callable[[Tensor, int], Contexts]:
    """Return what gives rows ``(B,)`` of ``store`` their nearest transitions as contexts.

    A row gets nothing of its own episode, whatever recordings the knowledge was made of.
    """
    if not isinstance(knowledge, Knowledge):
        knowledge = Knowledge.load(knowledge, model.processor)
    base = knowledge.excluding(store)

    def contexts(rows: Tensor, count: int) -> Contexts:
        found = base.search(
            {m: codes[rows] for m, codes in store.state.items()},
            store.action[rows],
            count,
            store.presence(rows),
            store.episode[rows],
        )
        return base.contexts(found)

    return contexts


def drawn(store: TransitionStore, per_scenario: int | None, distinct: bool, seed: int) -> Tensor:
    """Return which transitions a knowledge base keeps, ``(N,)`` bool; see the configuration."""
    _check_count(per_scenario)
    rows = store.begins
    order = np.random.default_rng(seed).permutation(len(rows))
    if distinct:
        _, first = np.unique(fingerprints(store, rows).numpy()[order], return_index=True)
        order = order[np.sort(first)]
    kept = torch.zeros(len(rows), dtype=torch.bool)
    scenario = store.scenario[rows].numpy()
    for number in range(len(store.scenarios)):
        members = order[scenario[order] == number]
        kept[torch.from_numpy(members[:per_scenario])] = True
    return kept


def _check_count(per_scenario: int | None) -> None:
    if per_scenario is not None and per_scenario < 1:
        raise ConfigurationError(
            f"per_scenario is {per_scenario}; give a whole number from 1, or leave it out."
        )
