"""Invariance: whether rows depend on how many are computed together, measured on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .contexts import Contexts
from .errors import UntrainedCombinationWarning
from .modalities import Modality, ModalitySpec, TextSpec, VectorSpec
from .rollout.fused_llama import FusedLlama
from .states import State
from .worldgpt import WorldGPT

COUNTS = (1, 2, 3, 5, 17)
"""Rows that are computed together, and compared with all of them."""

Results = dict[str, Tensor]


@dataclass(frozen=True)
class BatchInvariance:
    """What a model promises of its rows here, and what was measured.

    Attributes:
        reason: why rows may depend on how many are computed together; "" if the code makes sure
            that they do not.
        differing: what had other bits in another number of rows, as ``"imagine: reward"``.
        device: where the model computes.
        threads: that torch computes with.
    """

    reason: str
    differing: tuple[str, ...]
    device: str
    threads: int

    @property
    def promised(self) -> bool:
        """Whether the code makes sure that rows do not depend on each other."""
        return not self.reason

    @property
    def holds(self) -> bool:
        """Whether all numbers of rows that were measured gave the same bits."""
        return not self.differing

    def __str__(self) -> str:
        """Say it in one sentence."""
        if self.promised and self.holds:
            return f"yes, measured on this {self.device}"
        found = f"measured, {', '.join(self.differing) or 'nothing'} differed"
        if self.promised:
            return f"no, though it is promised: {found}; please report this"
        return (
            f"not promised, as {self.reason} ({found}): the same seed and number of rows give the "
            "same dream on one machine"
        )


def broken_promise(model: WorldGPT) -> str:
    """Return why rows of ``model`` may depend on each other; "" if the code makes sure of it."""
    if model.device.type != "cpu":
        return f"it computes on {model.device.type}, where products are not probed"
    network = model.dynamics.backbone.merged().model
    if not FusedLlama.supports(network):
        return (
            f"its language model, {type(network).__name__}, computes in transformers' own loop, "
            "whose products are not probed"
        )
    return ""


@torch.no_grad()
def batch_invariance(
    model: WorldGPT, counts: Sequence[int] = COUNTS, rows: int = 33, seed: int = 0
) -> BatchInvariance:
    """Compute random rows in several numbers and compare their bits.

    They are encoded, imagined for three steps, decoded, and read as contexts where the model can.

    Args:
        model: is not changed.
        counts: numbers of rows, each of other ones of all rows.
        rows: all rows.
        seed: of the random observations, states and actions.
    """
    generator = torch.Generator().manual_seed(seed)
    differing: dict[str, None] = {}
    for name, function in _functions(model, rows, generator):
        whole = function(torch.arange(rows))
        for count in counts:
            chosen = torch.randperm(rows, generator=generator)[:count]
            for key, part in function(chosen).items():
                if not torch.equal(part.cpu(), whole[key].cpu()[chosen]):
                    differing[f"{name}: {key}"] = None
    threads = torch.get_num_threads()
    reason = broken_promise(model)
    return BatchInvariance(reason, tuple(differing), model.device.type, threads)


def _functions(
    model: WorldGPT, rows: int, generator: torch.Generator
) -> Iterator[tuple[str, Callable[[Tensor], Results]]]:
    """Yield what a model does with rows, as functions of the chosen rows ``(B,)``."""
    raw = {m: _observations(spec, rows, generator) for m, spec in model.specs.items()}
    state = _states(model, rows, generator)
    following = _states(model, rows, generator)
    action = _actions(model, rows, generator)
    noise = torch.randint(1 << 62, (rows,), generator=generator)

    def encode(chosen: Tensor) -> Results:
        return _named(model.encode({m: part[chosen] for m, part in raw.items()}))

    def decode(chosen: Tensor) -> Results:
        codes = {m: part for m, part in state.items() if not model.codec(m).continuous}
        return _named(model.decode({m: part[chosen] for m, part in codes.items()}))

    def imagine(chosen: Tensor, steps: int = 3, contexts: bool = False) -> Results:
        now = {m: part[chosen] for m, part in state.items()}
        seen: Results = {}
        read = _contexts(state, action, following, chosen) if contexts else None
        reading = model.dynamics.reading(2, reflected=True) if contexts else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UntrainedCombinationWarning)
            engine = model.imagination(len(chosen), reading=reading)
        for step in range(steps):
            keys = (noise[chosen] + step).to(model.device)
            out = engine.step(now, action[chosen], keys, expected=True, contexts=read)
            now = out.state
            seen |= _named(out.state) | _named(out.latent or {}, "latent ")
            for name in ("rewards", "termination", "uncertainty", "consistency"):
                seen[name] = getattr(out, name)
        return seen

    yield from (("encode", encode), ("decode", decode), ("imagine", imagine))
    if model.dynamics.embedding.reflector is not None:
        yield "imagine with contexts", lambda chosen: imagine(chosen, contexts=True)


def _named(tensors: dict[Modality, Tensor], prefix: str = "") -> Results:
    return {f"{prefix}{modality}": tensor for modality, tensor in tensors.items()}


def _contexts(state: State, action: Tensor, following: State, chosen: Tensor) -> Contexts:
    """Return two contexts for each of the ``chosen`` rows: its own transition and the next's."""
    rows = torch.stack([chosen, (chosen + 1) % len(action)], 1)  # (B, 2)
    valid = torch.ones(rows.shape, dtype=torch.bool, device=action.device)
    return Contexts(
        {m: part[rows] for m, part in state.items()},
        action[rows],
        {m: part[rows] for m, part in following.items()},
        valid,
        torch.zeros(rows.shape, device=action.device),
    )


def _observations(spec: ModalitySpec, rows: int, generator: torch.Generator) -> Tensor:
    """Return random raw observations ``(rows, *shape)``."""
    shape = (rows, *spec.shape)
    if isinstance(spec, TextSpec):
        return torch.randint(len(spec.vocabulary), shape, generator=generator)
    numbers = torch.rand(shape, generator=generator)
    if isinstance(spec, VectorSpec):
        low, high = torch.tensor(spec.low), torch.tensor(spec.high)
        return low + numbers * (high - low)
    whole = spec.dtype == np.uint8
    return (numbers * 256).to(torch.uint8) if whole else numbers * 2 - 1


def _states(model: WorldGPT, rows: int, generator: torch.Generator) -> State:
    """Return random states, ``(rows, C, G)`` each."""
    state = {}
    for modality in model.specs:
        codec = model.codec(modality)
        shape = (rows, codec.cells, codec.digits)
        if codec.continuous:
            vectors = torch.randn(shape, generator=generator)
            state[modality] = torch.nn.functional.normalize(vectors, dim=-1).to(model.device)
        else:
            codes = torch.randint(codec.levels, shape, generator=generator)
            state[modality] = codes.to(model.device)
    return state


def _actions(model: WorldGPT, rows: int, generator: torch.Generator) -> Tensor:
    """Return random actions, ``(rows, ...)``."""
    spec = model.action_spec
    if spec.kind == "box":
        low, high = torch.tensor(spec.low), torch.tensor(spec.high)
        action = low + torch.rand(rows, len(low), generator=generator) * (high - low)
    elif spec.kind == "text":
        action = torch.randint(len(spec.names), (rows, *spec.sizes), generator=generator)
    else:
        parts = [torch.randint(size, (rows,), generator=generator) for size in spec.sizes]
        action = parts[0] if spec.kind == "discrete" else torch.stack(parts, 1)
    return action.to(model.device)
