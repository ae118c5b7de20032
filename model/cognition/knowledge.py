"""Knowledge: real transitions that are found by a state and an action, never one's own episode."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..batch import Presence, State
from ..checkpoint import MANIFEST, verify, write_folder
from ..codecs.codec import MICRO_BATCH
from ..errors import KnowledgeError
from ..modalities import Modality
from ..safe_io import recover_folder, write_json, write_tensors
from .contexts import Contexts
from .facts import Facts
from .keys import Keys, codec_sha256
from .nearest import FaissNearest, Nearest, Refused

if TYPE_CHECKING:
    from ..worldgpt import WorldGPT

DESCRIPTION, TENSORS = "knowledge.json", "knowledge.safetensors"
FORMAT = 1


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
        model: whose codecs the states are of.
        facts: the transitions.
        barred: ``(Q, 2)`` int64, pairs of an episode and a fingerprint that it may not be given.
        fingerprints: ``(N,)`` int64 of ``facts``.
        centres: of the keys; measured if None.
        faiss: search through faiss, see :class:`~.nearest.FaissNearest`.

    Example:
        >>> knowledge = Knowledge.load("runs/knowledge", model)
        >>> found = knowledge.search(state, action, count=4, episode=episode)
        >>> contexts = knowledge.contexts(found)
    """

    def __init__(
        self,
        model: WorldGPT,
        facts: Facts,
        barred: Tensor,
        fingerprints: Tensor,
        centres: dict[Modality, Tensor] | None = None,
        faiss: bool = False,
    ) -> None:
        """Compute the keys."""
        if set(facts.state) != set(model.specs):
            raise KnowledgeError(
                f"the transitions have {[*map(str, facts.state)]} and the model "
                f"{[*map(str, model.specs)]}; build knowledge with the model that reads it."
            )
        self.model, self.facts = model, facts
        if centres is None:
            self.keys = Keys.fit(model, facts.state, facts.present)
        else:
            self.keys = Keys(model, centres)
        self._fingerprints, self._barred = fingerprints, barred
        self._group, self._bars = _groups(fingerprints, barred, model.device)
        vectors, there = zip(
            *(self._block(start) for start in range(0, len(facts), 4096)), strict=True
        )
        kind = FaissNearest if faiss else Nearest
        self._nearest: Nearest = kind(torch.cat(vectors), torch.cat(there))

    @classmethod
    def build(
        cls,
        model: WorldGPT,
        state: State,
        action: Tensor,
        next: State,
        episode: Tensor,
        scenario: Sequence[str] | None = None,
        present: Presence | None = None,
        present_next: Presence | None = None,
        kept: Tensor | None = None,
        faiss: bool = False,
    ) -> Knowledge:
        """Build a knowledge base of N transitions.

        Args:
            model: whose codecs the states are of.
            state: per modality ``(N, C, G)``.
            action: ``(N, ...)``.
            next: per modality ``(N, C, G)``.
            episode: ``(N,)`` int64, the episode that each is of.
            scenario: N names; "" by default.
            present: which states have a modality, ``(N,)`` bool; all if not named.
            present_next: likewise of ``next``.
            kept: ``(N,)`` bool, those that can be found; the others are known only so that their
                episodes are not given the same ones of others. All by default.
            faiss: search through faiss.

        Raises:
            KnowledgeError: there is no transition, or the modalities are not the model's.
        """
        facts = Facts.gather(model, state, action, next, episode, scenario, present, present_next)
        return cls.over(model, facts, kept, faiss)

    @classmethod
    def over(
        cls, model: WorldGPT, facts: Facts, kept: Tensor | None = None, faiss: bool = False
    ) -> Knowledge:
        """Build a knowledge base of ``facts``; ``kept`` as in :meth:`build`."""
        prints = facts.fingerprints()
        own = _pairs(facts.episode, prints)
        if kept is not None:
            facts, prints = facts.select(kept), prints[kept]
            own = own[torch.isin(own[:, 1], prints)]
        return cls(model, facts, own, prints, faiss=faiss)

    def read_by(self, model: WorldGPT) -> Knowledge:
        """Return the same knowledge for another copy of its model.

        Raises:
            KnowledgeError: ``model`` has other modalities, or codecs of other weights.
        """
        _check_told(self._told(), model, "hand")
        other = copy.copy(self)
        other.model, other.keys = model, Keys(model, self.keys.centres)
        other._group = self._group.to(model.device)
        other._nearest = self._nearest.to(model.device)
        return other

    def asked_by(self, facts: Facts) -> Knowledge:
        """Return the same knowledge for queries that name the episodes of other ``facts``.

        They are known by what happened in them, so that whatever this base has of them, however it
        counted them, is not given to them.
        """
        other = copy.copy(self)
        other._barred = _pairs(facts.episode, facts.fingerprints())
        _, other._bars = _groups(self._fingerprints, other._barred, self.model.device)
        return other

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.facts)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios of the transitions."""
        return self.facts.scenarios

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
        for start in range(0, len(action), MICRO_BATCH):
            # Blocks of one size: a row finds the same bits whoever asks beside it.
            rows = torch.arange(start, start + MICRO_BATCH).clamp(max=len(action) - 1)
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
        index, distance = found.index.flip(1), found.distance.flip(1)
        valid = index >= 0
        place = index.clamp(min=0).cpu()
        tensors = {name: part[place] for name, part in self.facts.tensors().items()}
        facts = {n: _cleared(t, valid.cpu()).to(self.model.device) for n, t in tensors.items()}
        groups: dict[str, dict[Modality, Tensor]] = {
            kind: {m: facts[f"{kind}/{m}"] for m in self.model.specs if f"{kind}/{m}" in facts}
            for kind in ("state", "next", "present", "present_next")
        }
        return Contexts(
            {m: _wide(part) for m, part in groups["state"].items()},
            facts["action"],
            {m: _wide(part) for m, part in groups["next"].items()},
            valid,
            distance,
            groups["present"],
            groups["present_next"],
        )

    # disk ---------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write knowledge.json and knowledge.safetensors into ``folder``, replacing it whole."""
        told, tensors = self._told(), self.facts.tensors()
        tensors |= {f"centre/{m}": part for m, part in self.keys.centres.items()}
        tensors |= {"barred": self._barred, "fingerprints": self._fingerprints}

        def write(draft: Path) -> None:
            write_tensors(draft / TENSORS, tensors)
            write_json(draft / DESCRIPTION, told)

        write_folder(Path(folder), write)

    @classmethod
    def load(cls, folder: str | Path, model: WorldGPT, faiss: bool = False) -> Knowledge:
        """Read what :meth:`save` wrote, for the same model.

        Raises:
            KnowledgeError: there is none, or it is of another model.
            CheckpointError: a file is truncated or changed.
        """
        folder = Path(folder)
        recover_folder(folder)
        if not (folder / MANIFEST).is_file() or not (folder / DESCRIPTION).is_file():
            raise KnowledgeError(
                f"there is no knowledge at {folder}; build it: "
                "worldgpt knowledge --model MODEL --data DIR --out KNOWLEDGE."
            )
        verify(folder)
        try:
            told = json.loads((folder / DESCRIPTION).read_text())
            _check_told(told, model, str(folder))
            tensors = load_file(folder / TENSORS)
            barred, prints = tensors.pop("barred"), tensors.pop("fingerprints")
            centres = {m: tensors.pop(f"centre/{m}") for m in model.specs}
            facts = Facts.of(tensors, tuple(told["scenarios"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            if isinstance(error, KnowledgeError):
                raise
            raise KnowledgeError(f"{folder} holds no knowledge of this version: {error}") from error
        return cls(model, facts, barred, prints, centres, faiss)

    # parts --------------------------------------------------------------------------------------

    def _told(self) -> dict[str, Any]:
        """Return what is known of the base, as JSON values."""
        return {
            "format": FORMAT,
            "rows": len(self),
            "modalities": {str(m): size for m, size in self.model.latent_sizes.items()},
            "codec_sha256": codec_sha256(self.model),
            "scenarios": list(self.scenarios),
        }

    def _block(self, start: int, size: int = 4096) -> tuple[Tensor, Tensor]:
        """Return the keys of some transitions."""
        rows, facts = slice(start, start + size), self.facts
        return self.keys.of(
            {m: codes[rows] for m, codes in facts.state.items()},
            facts.action[rows],
            {m: there[rows] for m, there in facts.present.items()},
        )

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


def _pairs(episode: Tensor, prints: Tensor) -> Tensor:
    """Return which fingerprints are barred to which episode, ``(Q, 2)``: all of its own."""
    return torch.stack([episode, prints], 1).unique(dim=0)


def _groups(prints: Tensor, barred: Tensor, device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """Return the group of each transition, and sorted episodes with the groups barred to them."""
    known, group = prints.unique(return_inverse=True)  # sorted
    place = torch.searchsorted(known, barred[:, 1].contiguous()).clamp(max=len(known) - 1)
    real = known[place] == barred[:, 1]
    episodes, order = barred[real, 0].sort(stable=True)
    return group.to(device), [episodes.contiguous(), place[real][order]]


def _check_told(told: dict[str, Any], model: WorldGPT, where: str) -> None:
    """Refuse a knowledge base of another model, and say in what it differs."""
    sizes = {str(m): size for m, size in model.latent_sizes.items()}
    built, ask = told["modalities"], "build it anew: worldgpt knowledge --model MODEL --data DIR"
    if set(built) != set(sizes):
        raise KnowledgeError(
            f"the knowledge at {where} is of {sorted(built)} and the model of {sorted(sizes)}; "
            f"{ask}."
        )
    if built != sizes:
        raise KnowledgeError(
            f"the knowledge at {where} has latents of {built} and the model of {sizes}; {ask}."
        )
    if told["format"] != FORMAT or told["codec_sha256"] != codec_sha256(model):
        raise KnowledgeError(
            f"the knowledge at {where} was built with codecs of other weights or settings, whose "
            f"codes mean something else to this model; {ask}."
        )


def _cleared(part: Tensor, valid: Tensor) -> Tensor:
    """Return ``part`` ``(B, k, ...)`` with zeros where nothing is valid."""
    return part.masked_fill(~valid.reshape(*valid.shape, *([1] * (part.dim() - 2))), 0)


def _wide(codes: Tensor) -> Tensor:
    return codes if codes.is_floating_point() else codes.long()
