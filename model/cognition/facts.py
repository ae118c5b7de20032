"""Facts: real transitions in one row each, with where each is from; what a knowledge base holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..batch import Presence, State
from ..errors import KnowledgeError
from ..modalities import Modality
from .storage import action_like, action_limit, small_dtype

if TYPE_CHECKING:
    from ..worldgpt import WorldGPT

_MIX = (0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64)


@dataclass(frozen=True)
class Facts:
    """N transitions.

    Attributes:
        state: per modality ``(N, C, G)``, in a small dtype.
        action: ``(N, ...)``, as ``Batch.action``.
        next: per modality ``(N, C, G)``.
        episode: ``(N,)`` int64, number of the episode that it is of.
        scenario: ``(N,)`` int64, number of its scenario in ``scenarios``.
        scenarios: their names.
        present: per modality ``(N,)`` bool, where ``state`` has it; everywhere if not named.
        present_next: likewise of ``next``.
    """

    state: State
    action: Tensor
    next: State
    episode: Tensor
    scenario: Tensor
    scenarios: tuple[str, ...] = ("",)
    present: Presence = field(default_factory=dict)
    present_next: Presence = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse no transition at all, and parts of different lengths."""
        lengths = {name: len(part) for name, part in self.tensors().items()}
        if len(set(lengths.values())) != 1 or not self.state or set(self.state) != set(self.next):
            raise KnowledgeError(
                f"the parts of a knowledge base are of {lengths} rows; give all one length, and "
                "each modality before and after."
            )
        if not len(self):
            raise KnowledgeError(
                "a knowledge base of no transition knows nothing; give it some, from a recording: "
                "worldgpt knowledge --model MODEL --data DIR --out KNOWLEDGE."
            )

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.episode)

    @classmethod
    def gather(
        cls,
        model: WorldGPT,
        state: State,
        action: Tensor,
        next: State,
        episode: Tensor,
        scenario: Sequence[str] | None = None,
        present: Presence | None = None,
        present_next: Presence | None = None,
    ) -> Facts:
        """Return the facts of transitions of ``model``, in small dtypes on the CPU.

        Args: as of :meth:`~.knowledge.Knowledge.build`.
        """
        told = list(scenario) if scenario is not None else [""] * len(action)
        names = tuple(sorted(set(told))) or ("",)
        number = {name: place for place, name in enumerate(names)}
        small = {m: small_dtype(model.codec(m)) for m in model.specs if m in state}
        return cls(
            {m: state[m].cpu().to(dtype) for m, dtype in small.items()},
            action.cpu(),
            {m: next[m].cpu().to(dtype) for m, dtype in small.items()},
            episode.cpu().long(),
            torch.tensor([number[name] for name in told], dtype=torch.int64),
            names,
            {m: there.cpu() for m, there in (present or {}).items()},
            {m: there.cpu() for m, there in (present_next or {}).items()},
        )

    def check(self, model: WorldGPT) -> None:
        """Refuse what ``model`` can not have given: other shapes or types, numbers out of range.

        Raises:
            KnowledgeError: naming the part.
        """
        rows, (shape, dtype) = len(self), action_like(model.action_spec)
        wanted: dict[str, tuple[tuple[int, ...], torch.dtype, Any]] = {
            "action": ((rows, *shape), dtype, action_limit(model.action_spec)),
            "episode": ((rows,), torch.int64, None),
            "scenario": ((rows,), torch.int64, len(self.scenarios)),
        }
        for modality in self.state:
            codec = model.codec(modality)
            shape, limit = (rows, codec.cells, codec.digits), codec.levels or None
            for kind in ("state", "next"):
                wanted[f"{kind}/{modality}"] = (shape, small_dtype(codec), limit)
            for kind in ("present", "present_next"):
                wanted[f"{kind}/{modality}"] = ((rows,), torch.bool, None)
        for name, part in self.tensors().items():
            size, dtype, limit = wanted.get(name, ((), part.dtype, None))
            if tuple(part.shape) != size or part.dtype != dtype:
                raise KnowledgeError(
                    f"{name} is {part.dtype} {tuple(part.shape)}, the model gives {dtype} {size}"
                )
            if limit is not None and bool(((part < 0) | (part >= limit)).any()):
                raise KnowledgeError(f"{name} has a number that is not from 0 to {limit}")

    def select(self, rows: Tensor) -> Facts:
        """Return the transitions at ``rows`` (indices or bool mask)."""
        return Facts.of({n: t[rows] for n, t in self.tensors().items()}, self.scenarios)

    def tensors(self) -> dict[str, Tensor]:
        """Return every part by its name, such as ``"state/image"``."""
        parts = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Tensor):
                parts[entry.name] = value
            elif isinstance(value, dict):
                parts |= {f"{entry.name}/{modality}": part for modality, part in value.items()}
        return parts

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], scenarios: tuple[str, ...]) -> Facts:
        """Return the facts written by :meth:`tensors`."""

        def under(name: str) -> dict[Modality, Tensor]:
            found = {m: tensors.get(f"{name}/{m}") for m in Modality}
            return {m: part for m, part in found.items() if part is not None}

        single = {name: tensors[name] for name in ("action", "episode", "scenario")}
        groups = {name: under(name) for name in ("state", "next", "present", "present_next")}
        return cls(**single, **groups, scenarios=scenarios)  # type: ignore[arg-type]

    def fingerprints(self, block: int = 65536) -> Tensor:
        """Return a number per transition, ``(N,)`` int64: the same where all that happened is.

        Transitions that are the same before, in their action and after have the same number,
        whatever episode they are of; others have the same one as seldom as 64 bits allow.
        """
        parts = [self._column(name, t) for name, t in self.tensors().items() if _happens(name)]
        total = torch.zeros(len(self), dtype=torch.int64)
        for start in range(0, len(self), block):
            rows = torch.cat([part[start : start + block].flatten(1) for part in parts], 1)
            total[start : start + block] = _hash(rows)
        return total

    def _column(self, name: str, part: Tensor) -> Tensor:
        """Return a part as whole numbers ``(N, ...)``; what is absent as -1."""
        numbers = part.contiguous().view(torch.int32) if part.is_floating_point() else part
        numbers = numbers.reshape(len(self), -1)
        kind, _, modality = name.partition("/")
        there = {"state": self.present, "next": self.present_next}.get(kind, {})
        if modality and Modality(modality) in there:
            numbers = numbers.long().masked_fill(~there[Modality(modality)][:, None], -1)
        return numbers


def _happens(name: str) -> bool:
    """Return whether a part says what happened, and not only where."""
    return name.partition("/")[0] in ("state", "action", "next")


def _hash(rows: Tensor) -> Tensor:
    """Return one mixed int64 per row of numbers ``(N, F)``."""
    generator = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator) * 2 + 1
    mixed = (rows.long() + 1) * _MIX[0]
    mixed = (mixed ^ (mixed >> 29)) * _MIX[1]
    return ((mixed ^ (mixed >> 32)) * odd).sum(1)
