"""Keys: what states and actions are found by, vectors of one length per modality and for the act.

A part is centred on the mean of the knowledge base, so that what never changes does not make all
states alike, and has the spread of the base as one more number, so that a state at that mean has a
direction too. Every part then has length 1 and counts the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..modalities import ActionSpec, Modality
from ..processor import Processor
from ..states import Presence, State, widen


class TransitionKeys:
    """Makes keys for one processor and one knowledge base.

    Args:
        processor: whose codecs give the latents.
        centres: per modality ``(F + 1,)``: the mean latent of the base, and its spread around it.
    """

    def __init__(self, processor: Processor, centres: Mapping[Modality, Tensor]) -> None:
        """See the class."""
        self.processor = processor
        self.centres = {m: centres[m].to(processor.device) for m in processor.specs}

    @classmethod
    def fit(
        cls, processor: Processor, state: State, present: Presence, block: int = 4096
    ) -> TransitionKeys:
        """Measure mean and spread of the latents of ``state`` ``(N, C, G)``, where it is there."""
        centres = {}
        for modality, codes in state.items():
            there = present.get(modality)
            codes = codes if there is None else codes[there]
            parts = [
                _latent(processor, modality, codes[start : start + block]).double()
                for start in range(0, len(codes), block)
            ]
            size = processor.latent_sizes[modality]
            total = sum((part.sum(0) for part in parts), torch.zeros(size, dtype=torch.float64))
            mean = total / max(len(codes), 1)
            apart = sum(float((part - mean).square().sum()) for part in parts)
            spread = (apart / max(len(codes), 1)) ** 0.5
            centres[modality] = torch.cat([mean, torch.tensor([spread or 1.0])]).float()
        return cls(processor, centres)

    @property
    def parts(self) -> tuple[str, ...]:
        """What a key is made of: the modalities, and at the end the action."""
        return (*map(str, self.processor.specs), "action")

    def of(self, state: State, action: Tensor, present: Presence) -> tuple[Tensor, Tensor]:
        """Return the keys ``(B, F)`` float32, and which parts they have ``(B, P)`` float32.

        Args:
            state: any modalities of the model, ``(B, C, G)`` each.
            action: ``(B, ...)``.
            present: which rows have a modality, ``(B,)`` bool; all if not named.
        """
        rows, device = len(action), self.processor.device
        vectors, there = [], torch.zeros(rows, len(self.parts), device=device)
        for number, modality in enumerate(self.processor.specs):
            if modality not in state:
                vectors.append(torch.zeros(rows, len(self.centres[modality]), device=device))
                continue
            has = present.get(modality, torch.ones(rows, dtype=torch.bool)).to(device).float()
            centre = self.centres[modality]
            latent = _latent(self.processor, modality, state[modality]) - centre[:-1]
            spread = centre[-1:].expand(rows, 1)
            vectors.append(_unit(torch.cat([latent, spread], 1)) * has[:, None])
            there[:, number] = has
        vectors.append(_unit(action_vectors(self.processor.action_spec, action.to(device))))
        there[:, -1] = 1
        return torch.cat(vectors, 1), there


def action_vectors(spec: ActionSpec, action: Tensor) -> Tensor:
    """Return actions as vectors ``(B, A)`` float32: alike where they do alike things.

    A choice is one of n, several choices side by side, words whichever of them there are, and
    numbers as shares of their range from -1 to 1 beside a constant.
    """
    rows = len(action)
    if spec.kind == "discrete":
        return nn.functional.one_hot(action, spec.sizes[0]).float()
    if spec.kind == "multidiscrete":
        parts = action.unbind(1)
        chosen = zip(parts, spec.sizes, strict=True)
        return torch.cat([nn.functional.one_hot(p, n).float() for p, n in chosen], 1)
    if spec.kind == "text":
        words = torch.zeros(rows, len(spec.names), device=action.device)
        words.scatter_(1, action, 1.0)
        words[:, 0] = (action == 0).all(1).float()  # the empty action; else empty slots are nothing
        return words
    low, high = (torch.tensor(bound, device=action.device) for bound in (spec.low, spec.high))
    shares = (action - low) / (high - low) * 2 - 1
    return torch.cat([shares, torch.ones(rows, 1, device=action.device)], 1)


def _latent(processor: Processor, modality: Modality, codes: Tensor) -> Tensor:
    return processor.latent({modality: widen(codes.to(processor.device))})[modality]


def _unit(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors.float(), dim=-1)
