"""Knowledge: real transitions that are found by a state and an action, never one's own episode."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batch_invariant import NETWORK
from ..checkpoint import MANIFEST, refused, verify, write_folder
from ..contexts import Contexts
from ..errors import ConfigurationError, KnowledgeError
from ..modalities import Modality
from ..processor import Processor
from ..safe_io import recover_folder, write_json, write_tensors
from ..safe_json import Fields, read_json
from ..safe_tensors import read_tensors
from ..states import Presence, State
from ..transitions import TransitionStore
from .fingerprints import fingerprints
from .keys import TransitionKeys
from .knowledge_format import (
    CURE,
    DESCRIPTION,
    FORMAT,
    PAIRS,
    TENSORS,
    check_description,
    check_index,
    store_of_pairs,
)
from .nearest import FaissNearest, Nearest, Refused


@dataclass(frozen=True)
class Found:
    """What a search found for each of B rows, the nearest first.

    Attributes:
        index: ``(B, k)`` int64 rows of the knowledge base; -1 where there was nothing more.
        distance: ``(B, k)`` float32 from 0, the same, to 2; NaN there.
    """

    index: Tensor
    distance: Tensor

    @property
    def valid(self) -> Tensor:
        """Which there are, ``(B, k)`` bool."""
        return self.index >= 0


class Knowledge:
    """A dense index over real transitions (WorldGPT §4.1), exact, and blind to one's own episode.

    The key of a transition is the latent of every modality of its state and its action, each of
    length 1; near is a high mean cosine over what query and key both have. A query that names its
    episode gets no transition of it, and none that is the same as one of it (the same codes before,
    the same action, the same codes after), of whatever episode.

    Args:
        processor: whose codecs the states are of.
        store: the time steps.
        rows: ``(N,)`` int64, the row of the store at which each transition begins.
        barred: ``(Q, 2)`` int64, pairs of an episode and a fingerprint that it may not be given.
        centres: of the keys; measured if None.
        faiss: search through faiss, see :class:`~.nearest.FaissNearest`.

    Example:
        >>> knowledge = Knowledge.load("runs/knowledge", model.processor)
        >>> found = knowledge.search(state, action, count=4, episode=episode)
        >>> contexts = knowledge.contexts(found)
    """

    def __init__(
        self,
        processor: Processor,
        store: TransitionStore,
        rows: Tensor,
        barred: Tensor,
        centres: dict[Modality, Tensor] | None = None,
        faiss: bool = False,
    ) -> None:
        """Compute the keys."""
        if set(store.state) != set(processor.specs):
            raise KnowledgeError(
                f"the transitions have {[*map(str, store.state)]} and the model "
                f"{[*map(str, processor.specs)]}; build knowledge with the model that reads it."
            )
        if not len(rows):
            raise KnowledgeError(
                "a knowledge base needs at least one transition; build it from a recording: "
                "worldgpt knowledge --model MODEL --data DIR --out KNOWLEDGE."
            )
        self.processor, self.store, self.rows = processor, store, rows
        if centres is None:
            states = {m: codes[rows] for m, codes in store.state.items()}
            self.keys = TransitionKeys.fit(processor, states, store.presence(rows))
        else:
            self.keys = TransitionKeys(processor, centres)
        self._fingerprints, self._barred = fingerprints(store, rows), barred
        self._group, self._bars = _groups(self._fingerprints, barred, processor.device)
        vectors, present = zip(
            *(self._block(start) for start in range(0, len(rows), 4096)), strict=True
        )
        kind = FaissNearest if faiss else Nearest
        self._nearest: Nearest = kind(torch.cat(vectors), torch.cat(present))

    @classmethod
    def build(
        cls,
        processor: Processor,
        state: State,
        action: Tensor,
        next_state: State,
        episode: Tensor,
        scenario: Sequence[str] | None = None,
        present: Presence | None = None,
        present_next: Presence | None = None,
        kept: Tensor | None = None,
        faiss: bool = False,
    ) -> Knowledge:
        """Build a knowledge base of N transitions.

        Args:
            processor: whose codecs the states are of.
            state: per modality ``(N, C, G)``.
            action: ``(N, ...)``.
            next_state: per modality ``(N, C, G)``.
            episode: ``(N,)`` int64, the episode that each is of.
            scenario: N names; "" by default.
            present: which states have a modality, ``(N,)`` bool; all if not named.
            present_next: likewise of ``next_state``.
            kept: ``(N,)`` bool, those that can be found; see :meth:`over`.
            faiss: search through faiss.

        Raises:
            KnowledgeError: there is no transition, or the modalities are not the model's.
        """
        try:
            store = TransitionStore.pairs(
                processor, state, action, next_state, episode, scenario, present, present_next
            )
        except ConfigurationError as error:
            raise KnowledgeError(str(error)) from error
        return cls.over(processor, store, kept, faiss)

    @classmethod
    def over(
        cls,
        processor: Processor,
        store: TransitionStore,
        kept: Tensor | None = None,
        faiss: bool = False,
    ) -> Knowledge:
        """Build a knowledge base of the transitions of ``store``.

        Args:
            processor: whose codecs the states are of.
            store: the time steps.
            kept: ``(N,)`` bool of ``store.begins``, those that can be found; the others matter only
                in that their episodes are not given equal transitions of other episodes. All by
                default.
            faiss: search through faiss.
        """
        rows = store.begins
        own = excluded_pairs(store)
        if kept is not None:
            rows = rows[kept]
            own = own[torch.isin(own[:, 1], fingerprints(store, rows))]
        return cls(processor, store, rows, own, faiss=faiss)

    def read_by(self, processor: Processor) -> Knowledge:
        """Return the same knowledge for another processor with the same codecs.

        Raises:
            KnowledgeError: ``processor`` has other modalities, or codecs of other weights.
        """
        check_description(self._description(), processor, "hand")
        other = copy.copy(self)
        other.processor, other.keys = processor, TransitionKeys(processor, self.keys.centres)
        other._group = self._group.to(processor.device)
        other._nearest = self._nearest.to(processor.device)
        return other

    def excluding(self, store: TransitionStore) -> Knowledge:
        """Return the same knowledge for queries that name the episodes of another ``store``.

        An episode is known by its transitions: none that equals one of them is given to it, under
        whatever number this base has it.
        """
        other = copy.copy(self)
        other._barred = excluded_pairs(store)
        _, other._bars = _groups(self._fingerprints, other._barred, self.processor.device)
        return other

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.rows)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios of the transitions."""
        return self.store.scenarios

    @property
    def scenario(self) -> Tensor:
        """The number of each transition's scenario, ``(N,)`` int64."""
        return self.store.scenario[self.rows]

    @property
    def episode(self) -> Tensor:
        """The episode that each transition is of, ``(N,)`` int64."""
        return self.store.episode[self.rows]

    # search -------------------------------------------------------------------------------------

    @torch.inference_mode()
    def search(
        self,
        state: State,
        action: Tensor,
        count: int,
        present: Presence | None = None,
        episode: Tensor | None = None,
    ) -> Found:
        """Find the ``count`` nearest transitions of every row.

        Args:
            state: any modalities of the model, ``(B, C, G)`` each.
            action: ``(B, ...)``.
            count: k; where the base has fewer, the rest of a row is not valid.
            present: which rows have a modality, ``(B,)`` bool; all if not named.
            episode: ``(B,)`` int64, whose transitions and their duplicates are not given; -1 for
                an episode that the base has nothing of, as a dream.
        """
        asked = torch.full((len(action),), -1) if episode is None else episode.cpu().long()
        there, found = present or {}, []
        for start in range(0, len(action), NETWORK.most):
            rows = torch.arange(start, min(start + NETWORK.most, len(action)))
            place = rows.to(action.device)
            query, has = self.keys.of(
                {m: codes[place] for m, codes in state.items()},
                action[place],
                {m: part[rows.to(part.device)] for m, part in there.items()},
            )
            who = asked[rows]
            refused = self._refusal(who) if bool((who >= 0).any()) else None
            found.append(self._nearest.search(query, has, count, refused))
        distance, index = (torch.cat(parts)[: len(action)] for parts in zip(*found, strict=True))
        return Found(index, distance)

    def contexts(self, found: Found) -> Contexts:
        """Return what was found as contexts, the farthest first."""
        index, distance = found.index.flip(1).cpu(), found.distance.flip(1).cpu()
        valid = index >= 0
        contexts = self.store.contexts(self.rows[index.clamp(min=0)], valid, distance)
        return contexts.cleared().to(self.processor.device)

    # disk ---------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write knowledge.json and knowledge.safetensors into ``folder``, replacing it whole."""
        used = torch.cat([self.rows, self.rows + 1]).unique()  # sorted: a next row stays the next
        tensors = self.store.select(used).tensors()
        tensors |= {f"centre/{m}": part.cpu() for m, part in self.keys.centres.items()}
        tensors |= {"rows": torch.searchsorted(used, self.rows), "barred": self._barred}

        def write(draft: Path) -> None:
            write_tensors(draft / TENSORS, tensors, sealed=True)
            write_json(draft / DESCRIPTION, self._description())

        write_folder(Path(folder), write)

    @classmethod
    def load(cls, folder: str | Path, processor: Processor, faiss: bool = False) -> Knowledge:
        """Read what :meth:`save` wrote, for the same codecs.

        Raises:
            KnowledgeError: there is none, or it is of other codecs.
            CheckpointError: a file is truncated or changed.
        """
        folder = Path(folder)
        recover_folder(folder)
        if not (folder / MANIFEST).is_file() or not (folder / DESCRIPTION).is_file():
            raise KnowledgeError(
                f"there is no knowledge at {folder}; build it: "
                "worldgpt knowledge --model MODEL --data DIR --out KNOWLEDGE."
            )
        verify(folder, DESCRIPTION, TENSORS)
        description = Fields(read_json(folder / DESCRIPTION, CURE), folder / DESCRIPTION)
        scenarios = tuple(description.texts("scenarios"))
        description.choice("format", [PAIRS, FORMAT])
        description.text("codec_sha256", pattern="[0-9a-f]{64}")
        sizes = description.part("modalities")
        for name in sizes.data:
            sizes.whole(name, 1, 2**31)
        check_description(description.data, processor, str(folder))
        tensors = read_tensors(folder / TENSORS, CURE, unchecked=("reward",))
        with refused(folder / TENSORS, CURE):
            centres = {m: tensors.pop(f"centre/{m}") for m in processor.specs}
            if description.data["format"] == PAIRS:
                store = store_of_pairs(processor, tensors, scenarios)
                rows = store.begins
            else:
                store, rows = TransitionStore.of(tensors, scenarios), tensors["rows"]
            store.check(processor)
            check_index(processor, store, rows, tensors["barred"], centres)
            return cls(processor, store, rows, tensors["barred"], centres, faiss)

    # parts --------------------------------------------------------------------------------------

    def _description(self) -> dict[str, Any]:
        """Return what the base says about itself, as JSON values."""
        return {
            "format": FORMAT,
            "rows": len(self),
            "modalities": {str(m): size for m, size in self.processor.latent_sizes.items()},
            "codec_sha256": self.processor.sha256,
            "scenarios": list(self.scenarios),
        }

    def _block(self, start: int, size: int = 4096) -> tuple[Tensor, Tensor]:
        """Return the keys of some transitions."""
        rows = self.rows[start : start + size]
        states = {m: codes[rows] for m, codes in self.store.state.items()}
        return self.keys.of(states, self.store.action[rows], self.store.presence(rows))

    def _refusal(self, episodes: Tensor) -> Refused:
        """Return which rows queries of ``episodes`` ``(B,)`` may not be given."""
        first, last = (
            torch.searchsorted(self._bars[0], episodes, right=right) for right in (False, True)
        )
        counts = last - first
        query = torch.arange(len(episodes)).repeat_interleave(counts)
        within = torch.arange(len(query)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        table = torch.zeros(len(episodes), int(self._group.max()) + 1, dtype=torch.bool)
        table[query, self._bars[1][first.repeat_interleave(counts) + within]] = True
        table = table.to(self._group.device)

        def refused(rows: Tensor) -> Tensor:
            groups = self._group[rows]
            return table[:, groups] if rows.dim() == 1 else table.gather(1, groups)

        return refused


def excluded_pairs(store: TransitionStore) -> Tensor:
    """Return which fingerprints are not given to which episode, ``(Q, 2)``: all of its own."""
    rows = store.begins
    return torch.stack([store.episode[rows], fingerprints(store, rows)], 1).unique(dim=0)


def _groups(prints: Tensor, barred: Tensor, device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """Return the group of each transition, and sorted episodes with the groups barred to them."""
    known, group = prints.unique(return_inverse=True)  # sorted
    place = torch.searchsorted(known, barred[:, 1].contiguous()).clamp(max=len(known) - 1)
    real = known[place] == barred[:, 1]
    episodes, order = barred[real, 0].sort(stable=True)
    return group.to(device), [episodes.contiguous(), place[real][order]]
