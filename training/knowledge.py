"""Knowledge: recordings become a knowledge base that a model is shown transitions of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.cognition.contexts import Contexts
from worldgpt_env.model.cognition.facts import Facts
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.safe_io import RunLock
from worldgpt_env.model.worldgpt import WorldGPT

from .recording import Recording
from .stopwatch import Stopwatch
from .windows import EncodedRecording, encode_recording
from .worldnet.format.load import load_recording


@dataclass(frozen=True)
class KnowledgeConfig:
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
        _check_count(self.per_scenario)


def build_knowledge(config: KnowledgeConfig) -> dict[str, Any]:
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
    names = np.array(knowledge.scenarios)[knowledge.facts.scenario.numpy()]
    return {
        "knowledge": str(config.out),
        "model": config.model,
        "transitions": len(knowledge),
        "recorded": recording.steps,
        "episodes": len(knowledge.facts.episode.unique()),
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
    """Return the knowledge base of a recording; see :class:`KnowledgeConfig`.

    The number of an episode is its place in the recording, also of those that are not drawn: a
    query that names one is given nothing of what happened in it.
    """
    data = encode_recording(model, recording)
    scenarios = [episode.scenario for episode in recording.episodes]
    return knowledge_of(model, data, scenarios, per_scenario, distinct=distinct, seed=seed)


def knowledge_of(
    model: WorldGPT,
    data: EncodedRecording,
    scenarios: Sequence[str],
    per_scenario: int | None = None,
    *,
    distinct: bool = True,
    seed: int = 0,
) -> Knowledge:
    """Return the knowledge base of a recording that is encoded already.

    Args:
        model: that encoded it.
        data: the encoded recording.
        scenarios: of each episode.
        per_scenario: transitions that are drawn of each; all if None.
        distinct: keep transitions that are the same only once.
        seed: of the draw.
    """
    facts = facts_of(model, data, scenarios)
    return Knowledge.over(model, facts, drawn(facts, per_scenario, distinct, seed))


def facts_of(
    model: WorldGPT, data: EncodedRecording, scenarios: Sequence[str] | None = None
) -> Facts:
    """Return all transitions of an encoded recording; ``scenarios`` of its episodes."""
    episode = np.repeat(np.arange(len(data.steps)), data.steps)  # (N,)
    spans = [np.arange(f, f + n) for f, n in zip(data.first, data.steps, strict=True)]
    before = torch.from_numpy(np.concatenate(spans))
    return Facts.gather(
        model,
        {m: codes[before] for m, codes in data.state.items()},
        data.action[before],
        {m: codes[before + 1] for m, codes in data.state.items()},
        torch.from_numpy(episode),
        None if scenarios is None else [scenarios[number] for number in episode.tolist()],
        {m: there[before] for m, there in data.present.items()},
        {m: there[before + 1] for m, there in data.present.items()},
    )


def neighbours(
    model: WorldGPT, knowledge: Knowledge | Path, data: EncodedRecording
) -> Callable[[Tensor, int], Contexts]:
    """Return what gives moments ``(B,)`` of ``data`` their nearest transitions as contexts.

    A moment gets nothing of its own episode, whatever recordings the knowledge was made of.
    """
    base = knowledge if isinstance(knowledge, Knowledge) else Knowledge.load(knowledge, model)
    base = base.asked_by(facts_of(model, data))

    def contexts(moments: Tensor, count: int) -> Contexts:
        episode = np.searchsorted(data.first, moments.numpy(), side="right") - 1
        found = base.search(
            {m: codes[moments] for m, codes in data.state.items()},
            data.action[moments],
            count,
            {m: there[moments] for m, there in data.present.items()},
            torch.from_numpy(episode),
        )
        return base.contexts(found)

    return contexts


def drawn(facts: Facts, per_scenario: int | None, distinct: bool, seed: int) -> Tensor:
    """Return which transitions a knowledge base keeps, ``(N,)`` bool; see the configuration."""
    _check_count(per_scenario)
    order = np.random.default_rng(seed).permutation(len(facts))
    if distinct:
        _, first = np.unique(facts.fingerprints().numpy()[order], return_index=True)
        order = order[np.sort(first)]
    kept = torch.zeros(len(facts), dtype=torch.bool)
    for number in range(len(facts.scenarios)):
        members = order[facts.scenario.numpy()[order] == number]
        kept[torch.from_numpy(members[:per_scenario])] = True
    return kept


def _check_count(per_scenario: int | None) -> None:
    if per_scenario is not None and per_scenario < 1:
        raise ConfigurationError(
            f"per_scenario is {per_scenario}; give a whole number from 1, or leave it out."
        )
