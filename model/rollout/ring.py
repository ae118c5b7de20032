"""A key-value ring for many imagined episodes side by side, each counting its own steps.

Shapes never change: a row writes to the slot of its own step and is reset by setting its step to
0, as what lies in the ring from its last episode is then no longer visible. A row thus computes the
same bits whenever it was reset and whatever the others do. Positions are rotary and so relative;
when the ring of a row starts over, the keys it holds are turned back by its length, so that
episodes may run on without end and positions stay small.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from ..dynamics.layout import Block, additive
from ..errors import ConfigurationError

MOST_MASKED = 2**27
"""Numbers of all masks at most, half a gigabyte: they grow with the third power of the context."""


class Ring:
    """The step of each row, and the slots, masks and positions that follow from it.

    Attributes:
        steps: ``(B,)`` int64 on the CPU, steps of each row since it was reset.
        slot: ``(B,)`` int64, where the present block of each row stands in the ring.
        age: ``(B,)`` int64, blocks that each row may look back.
        shared: the slot of all rows where it is the same one (which is cheaper), else None.
        absent: ``(B, 1, 1, S)`` bool, tokens in the ring of modalities that a row missed; None
            while no row has missed any.
    """

    def __init__(self, rows: int, context: int, block: Block, device: torch.device) -> None:
        """Describe a ring of ``context`` blocks for ``rows`` episodes."""
        self.rows, self.context, self.block = rows, context, block
        self.steps = torch.zeros(rows, dtype=torch.int64)
        self.numbers = torch.arange(rows, device=device)[:, None]  # (B, 1)
        self.masks = self._masks().to(device)  # (slots, ages, size, S)
        starts = torch.arange(context)[:, None] * block.tokens.stride
        self.positions = (starts + torch.tensor(block.offsets)).to(device)  # (slots, size)
        kept = torch.arange(context)[:, None] * block.kept + torch.arange(block.kept)
        passing = (context * block.kept + torch.arange(block.passing)).expand(context, -1)
        self.places = torch.cat([kept, passing], 1).to(device)  # (slots, size)
        self.absent: Tensor | None = None
        self.set_steps(self.steps)

    def set_steps(self, steps: Tensor) -> None:
        """Set the steps ``(B,)`` of all rows, and what follows from them."""
        self.steps = steps.cpu()
        counts = self.steps.numpy()  # a few numbers: numpy takes a third of the time of torch
        slots, device = counts % self.context, self.positions.device
        self.slot = torch.from_numpy(slots).to(device)
        self.age = torch.from_numpy(counts.clip(max=self.context - 1)).to(device)
        self.shared: int | None = int(slots[0]) if (slots == slots[0]).all() else None

    @property
    def length(self) -> int:
        """Keys that are attended to: the ring and the passing tokens of the present step."""
        return self.context * self.block.kept + self.block.passing

    def mask(self) -> Tensor:
        """Return the additive mask of the present step, ``(B, 1, size, S)``."""
        return self.hidden(self.masks[self.slot, self.age][:, None])

    def hidden(self, mask: Tensor) -> Tensor:
        """Return ``mask`` ``(B, 1, ..., S)`` with what is absent hidden too."""
        if self.absent is None:
            return mask
        return mask.masked_fill(self.absent, torch.finfo(mask.dtype).min)

    def note_presence(self, there: Tensor | None) -> None:
        """Remember which tokens ``(B, size)`` of the present step are there; all if None."""
        if there is None and self.absent is None:
            return
        if self.absent is None:
            shape = (self.rows, 1, 1, self.length)
            self.absent = torch.zeros(shape, dtype=torch.bool, device=self.positions.device)
        missing: Tensor | bool = False if there is None else ~there
        self.absent[self.numbers, 0, 0, self.places[self.slot]] = missing

    def write(self, buffer: Tensor, new: Tensor) -> None:
        """Put keys or values ``(B, size, kv, head)`` into ``buffer`` ``(B, kv, S, head)``."""
        if self.shared is None:
            buffer[self.numbers, :, self.places[self.slot]] = new
            return
        kept, new = self.block.kept, new.transpose(1, 2)
        buffer[:, :, self.shared * kept : (self.shared + 1) * kept] = new[:, :, :kept]
        buffer[:, :, self.context * kept :] = new[:, :, kept:]

    def forget(self, rows: Tensor | None = None) -> None:
        """Let ``rows`` (bool mask or indices; all by default) begin anew."""
        steps = self.steps.clone()
        steps[... if rows is None else rows.cpu()] = 0
        self.set_steps(steps)

    def advance(self) -> Tensor | None:
        """Go to the next step; return the rows whose ring starts over, None if there are none."""
        self.set_steps(self.steps + 1)
        if self.shared is not None and self.shared > 0:
            return None
        over = (self.slot == 0).nonzero()[:, 0]
        return over if len(over) else None

    def turn_back(self, keys: Tensor, rows: Tensor, frequencies: Tensor) -> None:
        """Turn the keys ``(B, kv, S, head)`` of ``rows`` back by the length of the ring."""
        length = self.context * self.block.tokens.stride
        keys[rows] = turn(keys[rows], frequencies, -length)

    def _masks(self) -> Tensor:
        block, context = self.block, self.context
        numbers = context**2 * block.size * self.length
        if numbers > MOST_MASKED:
            raise ConfigurationError(
                f"a context of {context} steps of {block.size} tokens needs masks of {numbers} "
                f"numbers, and {MOST_MASKED} is the most; look back fewer steps."
            )
        own = block.own_visibility()  # (size, size)
        table = torch.zeros(context, context, block.size, self.length, dtype=torch.bool)
        for slot in range(context):
            for age in range(context):
                view = table[slot, age]
                for other in range(context):
                    back = (slot - other) % context
                    if 0 < back <= age:
                        view[:, other * block.kept : (other + 1) * block.kept] = True
                view[:, slot * block.kept : (slot + 1) * block.kept] = own[:, : block.kept]
                view[:, context * block.kept :] = own[:, block.kept :]
                view[block.kept + block.signals :, : context * block.kept] = False
        return additive(table)


def turn(keys: Tensor, frequencies: Tensor, positions: int) -> Tensor:
    """Rotate keys ``(..., head)`` by a number of ``positions`` (rotary embedding, split halves)."""
    angles = frequencies * positions  # (head/2,)
    cos, sin = angles.cos(), angles.sin()
    first, second = keys.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class RingCache(Cache):
    """The ring as a transformers cache: any backbone with rotary positions can imagine with it."""

    def __init__(self, ring: Ring, frequencies: Tensor) -> None:
        """Start empty; buffers are made when the first keys come."""
        self.ring, self.frequencies = ring, frequencies
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        super().__init__(layers=[])

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keep the block's observation and action keys, and return all that may be attended to."""
        if layer_idx == len(self.keys):
            shape = (*key_states.shape[:2], self.ring.length, key_states.shape[-1])
            self.keys.append(key_states.new_zeros(shape))
            self.values.append(value_states.new_zeros(shape))
        self.ring.write(self.keys[layer_idx], key_states.transpose(1, 2))
        self.ring.write(self.values[layer_idx], value_states.transpose(1, 2))
        return self.keys[layer_idx], self.values[layer_idx]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: positions and masks are given explicitly."""
        return 0

    def turn_back(self, rows: Tensor) -> None:
        """Turn the keys of ``rows`` back by the length of the ring, as theirs starts over."""
        for keys in self.keys:
            self.ring.turn_back(keys, rows, self.frequencies)
