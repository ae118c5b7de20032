"""Cognition: what a simulator remembers and knows, and what of it each step reads."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import check_flag, check_whole, shown
from worldgpt_env.model.cognition.knowledge import Found, Knowledge
from worldgpt_env.model.cognition.memory import MemoryConfig, WorkingMemory, check_reading
from worldgpt_env.model.contexts import Contexts
from worldgpt_env.model.processor import Processor
from worldgpt_env.model.states import Presence, State

from ..errors import ConfigurationError, KnowledgeError, MissingHeadError, WorldGPTError

MOST_READ = 1024  # transitions that a step reads, each some tokens in front of it
Read = dict[str, Any]
"""What a step read, as ``info`` tells it: arrays ``(N, ...)`` by key, or a dict of such."""


@dataclass(frozen=True)
class KnowledgeConfig:
    """Which knowledge base is read, and how much of it.

    Attributes:
        base: folder of a knowledge base, or a :class:`Knowledge`, of the model that dreams.
        reading: ``"raw"`` or ``"reflected"``.
        count: nearest transitions that are read at every step.
        faiss: search through faiss, which is faster from about a million transitions on.
    """

    base: str | Path | Knowledge
    reading: str = "reflected"
    count: int = 4
    faiss: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if not isinstance(self.base, str | Path | Knowledge):
            raise ConfigurationError(
                f"base of the knowledge is {shown(self.base)}; use the folder of a knowledge base "
                "or a Knowledge."
            )
        check_reading(self.reading, "knowledge")
        count = check_whole("count of the knowledge", self.count, 1, MOST_READ)
        object.__setattr__(self, "count", count)
        check_flag("faiss of the knowledge", self.faiss)


def as_memory(memory: str | MemoryConfig | None) -> MemoryConfig | None:
    """Return the configuration that ``"raw"`` or ``"reflected"`` stands for."""
    if memory is None or isinstance(memory, MemoryConfig):
        return memory
    if not isinstance(memory, str):
        raise ConfigurationError(
            f"memory is {shown(memory)}; use 'raw', 'reflected' or a MemoryConfig."
        )
    return MemoryConfig(memory)


def as_knowledge(
    knowledge: str | Path | Knowledge | KnowledgeConfig | None,
) -> KnowledgeConfig | None:
    """Return the configuration that a knowledge base, or its folder, stands for."""
    if knowledge is None or isinstance(knowledge, KnowledgeConfig):
        return knowledge
    if not isinstance(knowledge, str | Path | Knowledge):
        raise ConfigurationError(
            f"knowledge is {shown(knowledge)}; use the folder of a knowledge base, a Knowledge or "
            "a KnowledgeConfig."
        )
    return KnowledgeConfig(knowledge)


class Cognition:
    """The memory and the knowledge of N imagined episodes.

    Args:
        model: the model that reads them.
        rows: episodes side by side.
        memory: what is remembered, or None.
        knowledge: what is known, or None; a dream is an episode of its own, so all of it is given.

    Raises:
        ConfigurationError: memory and knowledge are to be read in two ways.
        KnowledgeError: the knowledge is of another model, or there is none.
        MemoryFolderError: the folder of the memory cannot be used.
        MissingHeadError: they are to be reflected and the model has no reflector.
    """

    def __init__(
        self,
        model: WorldGPT,
        rows: int,
        memory: MemoryConfig | None,
        knowledge: KnowledgeConfig | None,
    ) -> None:
        """Open both."""
        parts = [part for part in (memory, knowledge) if part is not None]
        if len({part.reading for part in parts}) != 1:
            raise ConfigurationError(
                "the memory is read "
                + " and the knowledge ".join(part.reading for part in parts)
                + "; a model reads both in one way."
            )
        reflected = parts[0].reading == "reflected"
        if reflected and model.dynamics.embedding.reflector is None:
            raise MissingHeadError(
                "this model has no reflector; read memory and knowledge raw, or train one: "
                "worldgpt tune --model MODEL --data DIR --out MODEL."
            )
        self.reading = model.dynamics.reading(sum(part.count for part in parts), reflected)
        self.config = knowledge
        self.memory = None if memory is None else WorkingMemory.of(model.processor, rows, memory)
        self.knowledge = None if knowledge is None else open_knowledge(knowledge, model.processor)

    def read(self, state: State, action: Tensor, present: Presence | None) -> tuple[Contexts, Read]:
        """Return the contexts of a step, knowledge before memories, and what ``info`` says."""
        parts, read = [], Read()
        if self.knowledge is not None and self.config is not None:
            found = self.knowledge.search(state, action, self.config.count, present)
            parts.append(self.knowledge.contexts(found))
            read["knowledge"] = _told(self.knowledge, found)
        if self.memory is not None:
            recalled = self.memory.recall(self.memory.config.horizon)
            parts.append(recalled)
            read["memory"] = recalled.valid.sum(1).cpu().numpy()
            if self.memory.store.trouble:
                trouble = np.full(len(recalled), self.memory.store.trouble, object)
                read["memory_trouble"] = trouble
        return Contexts.join(parts), read

    def remember(
        self,
        state: State,
        action: Tensor,
        next_state: State,
        rows: Tensor,
        present: Presence | None,
    ) -> None:
        """Remember a step of the ``rows`` ``(N,)`` bool that made it."""
        if self.memory is not None:
            self.memory.write(state, action, next_state, rows, present)

    def amend(self, state: State, present: Presence) -> None:
        """Let the states now be what the last steps led to, in case someone has put them there."""
        if self.memory is not None:
            self.memory.amend(state, present)

    def clear(self, rows: Tensor) -> None:
        """Forget the episodes of ``rows``."""
        if self.memory is not None:
            self.memory.clear(rows)

    # copies -------------------------------------------------------------------------------------

    def select(self, rows: Tensor) -> Cognition:
        """Return a fork whose rows go on from copies of ``rows``."""
        other = copy.copy(self)
        other.memory = None if self.memory is None else self.memory.select(rows)
        return other

    def snapshot(self) -> dict[str, Tensor]:
        """Return all that is remembered, as tensors by name."""
        return {} if self.memory is None else self.memory.snapshot()

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Return to a :meth:`snapshot` that :meth:`fits`."""
        if self.memory is not None:
            self.memory.restore(snapshot)

    def fits(self, snapshot: Mapping[str, Tensor]) -> bool:
        """Return whether ``snapshot`` is of a memory like this one."""
        return not snapshot if self.memory is None else self.memory.fits(snapshot)


def open_knowledge(config: KnowledgeConfig, processor: Processor) -> Knowledge:
    """Return the knowledge base of ``config``; warn where it holds less than is to be read."""
    base = config.base
    if isinstance(base, Knowledge):
        knowledge = base if base.processor is processor else base.read_by(processor)
    else:
        try:
            knowledge = Knowledge.load(base, processor, config.faiss)
        except WorldGPTError:
            raise
        except OSError as error:  # a name that no file can have, a folder that may not be read
            raise KnowledgeError(
                f"the knowledge base {shown(str(base))} cannot be read: {error.strerror}."
            ) from error
    if len(knowledge) < config.count:
        warnings.warn(
            f"the knowledge base holds {len(knowledge)} transitions, and a step reads "
            f"{config.count}: the rest is empty, with index -1 in info['knowledge'].",
            stacklevel=5,
        )
    return knowledge


def row_of(read: Read, row: int) -> Read:
    """Return what ``info`` says of one row."""
    return {
        key: row_of(value, row) if isinstance(value, dict) else _plain(value[row])
        for key, value in read.items()
    }


def _told(knowledge: Knowledge, found: Found) -> Read:
    """Return what was found, the nearest first, as arrays ``(N, k)``."""
    index = found.index.cpu().numpy()
    place = index.clip(min=0)
    scenarios = np.array(knowledge.scenarios, object)[knowledge.scenario.numpy()[place]]
    scenarios[index < 0] = ""
    return {
        "index": index,
        "distance": np.where(index < 0, np.inf, found.distance.cpu().numpy()).astype(np.float32),
        "episode": np.where(index < 0, -1, knowledge.episode.numpy()[place]),
        "scenario": scenarios,
    }


def _plain(value: Any) -> Any:
    """Return a single number as Python's, an array as a copy."""
    return (
        value.copy() if isinstance(value, np.ndarray) else getattr(value, "item", lambda: value)()
    )
