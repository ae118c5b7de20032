"""Working memory: what happened so far in each episode, read back as contexts over any horizon."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..arguments import check_flag, check_path, check_whole, shown
from ..contexts import Contexts
from ..errors import ConfigurationError
from ..modalities import Modality
from ..processor import Processor
from ..states import Presence, State, action_like, widen
from .choice import choose_steps
from .chunks import Chunk, ChunkStore

READINGS = ("raw", "reflected")
"""How contexts reach the model: as tokens of whole transitions, or through its ContextReflector."""


PRESENCE = ("present", "present_next")
MOST_READ, MOST_NEAR = 1024, 2**20  # steps that are read at once, and kept where the model computes


@dataclass(frozen=True)
class MemoryConfig:
    """How much is remembered of an episode, where, and what is read at every step.

    Attributes:
        reading: one of :data:`READINGS`.
        count: past steps that are read.
        horizon: None reads the last ``count`` steps; a number reads ``count`` steps that are spread
            evenly over the last ``horizon`` (all there are, if there are fewer).
        near: steps of a row that stay where the model computes; older ones are put aside.
        folder: where to; None: into memory.
        fallback: stay in memory if the folder is read-only or full, and say so, instead of failing.
    """

    reading: str = "reflected"
    count: int = 4
    horizon: int | None = None
    near: int = 64
    folder: str | Path | None = None
    fallback: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        check_reading(self.reading, "memory")
        plain = {"count": check_whole("count of the memory", self.count, 1, MOST_READ)}
        plain["near"] = check_whole("near of the memory", self.near, 2, MOST_NEAR)
        if self.horizon is not None:
            plain["horizon"] = check_whole("horizon of the memory", self.horizon, 1, 2**31)
        for name, value in plain.items():  # numpy's small integers overflow where they are added
            object.__setattr__(self, name, value)
        if self.folder is not None:
            check_path("folder of the memory", self.folder)
        check_flag("fallback of the memory", self.fallback)


def check_reading(reading: str, what: str) -> None:
    """Refuse a reading that does not exist."""
    if not isinstance(reading, str) or reading not in READINGS:
        raise ConfigurationError(
            f"the reading of the {what} is {shown(reading)}; use one of {', '.join(READINGS)}."
        )


class WorkingMemory:
    """Past states, actions, what followed and answers, of N episodes that share nothing.

    Every row counts its own steps. The newest ``near`` of them stay in tensors on ``device``; half
    of that is put aside at once when they are full, see :class:`~.chunks.ChunkStore`.

    Args:
        parts: shape and dtype of one step by name: ``"action"`` and per modality ``"state/image"``.
        rows: episodes side by side.
        config: sizes and folder.
        device: where the near part is, and where contexts are given.

    Example:
        >>> memory = WorkingMemory.of(model.processor, rows=8)
        >>> memory.write(state, action, prediction.state)
        >>> contexts = memory.recall(horizon=32, count=4)
    """

    def __init__(
        self,
        parts: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
        rows: int,
        config: MemoryConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Remember nothing yet."""
        self.config = config or MemoryConfig()
        self.rows, self.device = rows, torch.device(device)
        self.modalities = [Modality(n.removeprefix("state/")) for n in parts if n != "action"]
        self.chunk = max(1, self.config.near // 2)  # steps that are put aside at once
        flags = {f"{p}/{m}": ((), torch.bool) for p in PRESENCE for m in self.modalities}
        next_state = {n.replace("state/", "next/"): part for n, part in parts.items()}
        self._near = {
            name: torch.zeros(rows, self.config.near, *shape, dtype=dtype, device=self.device)
            for name, (shape, dtype) in (dict(parts) | next_state | flags).items()
        }
        self.steps = torch.zeros(rows, dtype=torch.int64)  # of each episode; on the CPU
        self.aside = torch.zeros(rows, dtype=torch.int64)  # of them, put aside
        self.store = ChunkStore(self.config.folder, self.config.fallback)
        self._chunks: dict[int, Chunk] = {}
        self._where = torch.full((rows, 0, 2), -1)  # chunk, and place of the row in it
        self._answers: list[dict[int, str]] = [{} for _ in range(rows)]

    @classmethod
    def of(
        cls, processor: Processor, rows: int, config: MemoryConfig | None = None
    ) -> WorkingMemory:
        """Return a memory for the states of ``processor``, on its device."""
        parts = {"action": action_like(processor.action_spec)}
        for modality in processor.specs:
            shape = (processor.codec(modality).cells, processor.codec(modality).digits)
            parts[f"state/{modality}"] = (shape, processor.storage_dtype(modality))
        return cls(parts, rows, config, processor.device)

    # writing ------------------------------------------------------------------------------------

    @torch.inference_mode()
    def write(
        self,
        state: State,
        action: Tensor,
        next_state: State,
        rows: Tensor | None = None,
        present: Presence | None = None,
        present_next: Presence | None = None,
        answers: Sequence[str | None] | None = None,
    ) -> None:
        """Remember one step.

        Args:
            state: that was acted in, ``(B, C, G)`` per modality.
            action: ``(B,)`` or ``(B, parts)``.
            next_state: in a dream the prediction, in the real world what was seen.
            rows: that made the step, bool mask or indices; all by default.
            present: which rows had a modality of ``state``, ``(B,)`` bool; all if not named.
            present_next: likewise of ``next_state``.
            answers: what was said to each row at this step, one text or None a row.
        """
        chosen = self._numbers(rows)
        full = chosen[self.steps[chosen] - self.aside[chosen] == self.config.near]
        if len(full):
            self._put_aside(full)
        slot = self.steps[chosen] % self.config.near
        there = chosen.to(self.device), slot.to(self.device)
        for name, values in self._named(state, action, next_state, present, present_next):
            buffer = self._near[name]
            if values is None:
                buffer[there] = True
            else:
                buffer[there] = values.to(self.device)[there[0]].to(buffer.dtype)
        for row in chosen.tolist() if answers is not None else ():
            if (answer := answers[row]) is not None:  # type: ignore[index]
                self._answers[row][int(self.steps[row])] = answer
        self.steps[chosen] += 1

    @torch.inference_mode()
    def amend(self, next_state: State, present_next: Presence | None = None) -> None:
        """Let ``next_state`` be what the last step of each row led to, as reality turned out."""
        rows = (self.steps > 0).nonzero()[:, 0]
        there = rows.to(self.device), ((self.steps[rows] - 1) % self.config.near).to(self.device)
        for modality in self.modalities:
            buffer = self._near[f"next/{modality}"]
            buffer[there] = next_state[modality].to(self.device)[there[0]].to(buffer.dtype)
            has = (present_next or {}).get(modality)
            seen = True if has is None else has.to(self.device)[there[0]]
            self._near[f"present_next/{modality}"][there] = seen

    @torch.inference_mode()
    def clear(self, rows: Tensor | None = None) -> None:
        """Forget the episodes of ``rows`` (bool mask or indices; all by default)."""
        chosen = self._numbers(rows)
        self.steps[chosen], self.aside[chosen] = 0, 0
        self._where[chosen] = -1
        used = set(self._where[..., 0].unique().tolist())
        self._chunks = {number: c for number, c in self._chunks.items() if number in used}
        for row in chosen.tolist() if any(self._answers) else ():
            self._answers[row] = {}

    # reading ------------------------------------------------------------------------------------

    @torch.inference_mode()
    def recall(self, horizon: int | None = None, count: int | None = None) -> Contexts:
        """Return past steps of every row, oldest first.

        Args:
            horizon: None: the last ``count`` steps; else ``count`` steps spread evenly over the
                last ``horizon``, the newest and the oldest of them included.
            count: K, the configured one by default; a row with fewer steps has them all, at the
                end.
        """
        step, valid = self._choose(horizon, count)
        near = valid & (step >= self.aside[:, None])
        place = torch.arange(self.rows)[:, None].to(self.device), self._slot(step, near)
        there = near.to(self.device)
        parts = {
            name: buffer[place].masked_fill_(~_beside(there, buffer.dim()), 0)
            for name, buffer in self._near.items()
        }  # (B, K, ...)
        if bool((valid & ~near).any()):
            self._read_far(parts, step, valid & ~near)
        return self._contexts(parts, valid.to(self.device))

    def recall_answers(
        self, horizon: int | None = None, count: int | None = None
    ) -> list[list[str | None]]:
        """Return what was said at the steps that :meth:`recall` gives, K texts or None a row."""
        step, valid = self._choose(horizon, count)
        return [
            [said.get(at) if there else None for at, there in zip(steps, known, strict=True)]
            for said, steps, known in zip(self._answers, step.tolist(), valid.tolist(), strict=True)
        ]

    # copies -------------------------------------------------------------------------------------

    @torch.inference_mode()
    def snapshot(self) -> dict[str, Tensor]:
        """Return all that is remembered as tensors by name, ``(B, ...)`` each (copies)."""
        tensors = {"steps": self.steps.clone(), "aside": self.aside.clone()}
        tensors |= {f"near/{name}": buffer.clone() for name, buffer in self._near.items()}
        longest = int(self.aside.max())
        if longest:
            step = torch.arange(longest).expand(self.rows, -1)  # (B, longest)
            far = {
                name: torch.zeros(self.rows, longest, *buffer.shape[2:], dtype=buffer.dtype)
                for name, buffer in self._near.items()
            }
            self._read_far(far, step, step < self.aside[:, None])
            tensors |= {f"far/{name}": part for name, part in far.items()}
        if any(self._answers):
            said = [json.dumps(answers).encode() for answers in self._answers]
            longest = max(map(len, said))
            rows = [list(text.ljust(longest)) for text in said]  # blanks mean nothing in JSON
            tensors["answers"] = torch.tensor(rows, dtype=torch.uint8)
        return tensors

    @torch.inference_mode()
    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Return to a :meth:`snapshot` of a memory that :meth:`fits`."""
        self.clear()
        self.steps = snapshot["steps"].cpu().clone()
        for name, buffer in self._near.items():
            buffer.copy_(snapshot[f"near/{name}"])
        far = {n.removeprefix("far/"): t for n, t in snapshot.items() if n.startswith("far/")}
        aside = snapshot["aside"].cpu()
        while bool((left := aside > self.aside).any()):
            rows = left.nonzero()[:, 0]
            span = self.aside[rows][:, None] + torch.arange(self.chunk)
            self._keep(rows, {name: part.cpu()[rows[:, None], span] for name, part in far.items()})
        if "answers" in snapshot:
            texts = [bytes(row.tolist()).decode() for row in snapshot["answers"]]
            self._answers = [{int(n): s for n, s in json.loads(t).items()} for t in texts]

    def fits(self, snapshot: Mapping[str, Tensor]) -> bool:
        """Return whether ``snapshot`` is of a memory of the same rows, parts and near size."""
        wanted = {"steps": self.steps.shape, "aside": self.aside.shape}
        wanted |= {f"near/{name}": buffer.shape for name, buffer in self._near.items()}
        if any(name not in snapshot or snapshot[name].shape != s for name, s in wanted.items()):
            return False
        longest = int(snapshot["aside"].max())
        if longest:
            for name, buffer in self._near.items():
                wanted[f"far/{name}"] = torch.Size((self.rows, longest, *buffer.shape[2:]))
        rest = {name: t.shape for name, t in snapshot.items() if name != "answers"}
        return rest == wanted

    @torch.inference_mode()
    def select(self, rows: Tensor) -> WorkingMemory:
        """Return a fork whose rows go on from copies of ``rows`` (indices, repeats allowed)."""
        chosen, other = self._numbers(rows), copy.copy(self)
        other.rows = len(chosen)
        other._near = {n: buffer[chosen.to(self.device)] for n, buffer in self._near.items()}
        other.steps, other.aside = self.steps[chosen], self.aside[chosen]
        other._where, other._chunks = self._where[chosen], dict(self._chunks)
        other._answers = [dict(self._answers[row]) for row in chosen.tolist()]
        return other

    # parts --------------------------------------------------------------------------------------

    def _numbers(self, rows: Tensor | None) -> Tensor:
        """Return row numbers on the CPU."""
        if rows is None:
            return torch.arange(self.rows)
        rows = rows.cpu()
        return rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows

    def _named(
        self,
        state: State,
        action: Tensor,
        next_state: State,
        present: Presence | None,
        present_next: Presence | None,
    ) -> Iterator[tuple[str, Tensor | None]]:
        """Yield what to write by name; None is True everywhere."""
        yield "action", action
        for modality in self.modalities:
            yield f"state/{modality}", state[modality]
            yield f"next/{modality}", next_state[modality]
            yield f"present/{modality}", (present or {}).get(modality)
            yield f"present_next/{modality}", (present_next or {}).get(modality)

    def _slot(self, step: Tensor, near: Tensor) -> Tensor:
        """Return where ``step`` stands in the near part, 0 where it is not there."""
        return torch.where(near, step % self.config.near, 0).to(self.device)

    def _choose(self, horizon: int | None, count: int | None) -> tuple[Tensor, Tensor]:
        """Return the steps to recall ``(B, K)`` int64 on the CPU, and which of them there are."""
        count = self.config.count if count is None else count
        return choose_steps(self.steps, horizon, count)

    def _put_aside(self, rows: Tensor) -> None:
        """Move the oldest near steps of ``rows`` into a chunk."""
        span = (self.aside[rows][:, None] + torch.arange(self.chunk)) % self.config.near
        place = rows[:, None].to(self.device), span.to(self.device)
        self._keep(rows, {name: buffer[place].cpu() for name, buffer in self._near.items()})

    def _keep(self, rows: Tensor, tensors: dict[str, Tensor]) -> None:
        """Keep the next chunk of steps of ``rows``, ``(R, chunk, ...)``."""
        number = max(self._chunks, default=-1) + 1
        self._chunks[number] = self.store.keep({n: t.contiguous() for n, t in tensors.items()})
        column = self.aside[rows] // self.chunk
        missing = int(column.max()) + 1 - self._where.shape[1]
        if missing > 0:
            more = torch.full((self.rows, missing, 2), -1)
            self._where = torch.cat([self._where, more], 1)
        place = torch.arange(len(rows))
        self._where[rows, column] = torch.stack([torch.full_like(place, number), place], 1)
        self.aside[rows] += self.chunk

    def _read_far(self, parts: dict[str, Tensor], step: Tensor, far: Tensor) -> None:
        """Fill the places ``far`` ``(B, K)`` of ``parts`` with steps that were put aside."""
        rows, columns = far.nonzero().unbind(1)
        steps = step[rows, columns]
        number, place = self._where[rows, steps // self.chunk].unbind(1)
        for chunk in number.unique().tolist():
            own = number == chunk
            tensors = self._chunks[chunk].read()
            for name, part in parts.items():
                found = tensors[name][place[own], steps[own] % self.chunk]
                at = rows[own].to(part.device), columns[own].to(part.device)
                part[at] = found.to(part.device)

    def _contexts(self, parts: dict[str, Tensor], valid: Tensor) -> Contexts:
        """Return the contexts of what was gathered."""
        state, next_state = (
            {m: widen(parts[f"{kind}/{m}"]) for m in self.modalities} for kind in ("state", "next")
        )
        there = [
            {
                m: parts[f"{kind}/{m}"]
                for m in self.modalities
                if _lacks(parts[f"{kind}/{m}"], valid)
            }
            for kind in PRESENCE
        ]
        distance = torch.full(valid.shape, torch.nan, device=self.device)
        return Contexts(state, parts["action"], next_state, valid, distance, *there)


def _beside(mask: Tensor, dimensions: int) -> Tensor:
    """Return ``mask`` ``(B, K)`` with further dimensions of size 1."""
    return mask.reshape(*mask.shape, *([1] * (dimensions - 2)))


def _lacks(there: Tensor, valid: Tensor) -> bool:
    return not bool((there | ~valid).all())
