"""Imagined starts: the picture, sound and numbers of a moment that is given in words alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.modalities import Modality, TextSpec

from ..actions import listed, unknown_words
from ..errors import InvalidOptionError, MissingModalityError

INSTEAD = 'pass {"description": "words"} to begin in a recorded moment instead'


def imagine_start(model: WorldGPT, texts: Sequence[str]) -> tuple[State, Presence, np.ndarray]:
    """Imagine one moment per text: the words are given, the model adds what it was trained to.

    The action is the empty one, which lets no time pass. What the model never learned to add to
    words is absent.

    Args:
        model: whose actions are text, trained on a combination such as ``"text>image+audio"``.
        texts: one sentence per row, in words of the world.

    Returns:
        States ``(B, C, G)`` per modality, which rows have them, and how well words and the rest
        agree, ``(B,)`` float64 in [0, 1] (the consistency of the model).

    Raises:
        MissingModalityError: the world has no text.
        InvalidOptionError: the model cannot do it, or a sentence has unknown or too many words.
    """
    spec = model.specs.get(Modality.TEXT)
    if not isinstance(spec, TextSpec):
        raise MissingModalityError(
            'this world has no text to begin with; pass {"index": 3} or '
            '{"observation": observation}.'
        )
    outputs = _learned(model).outputs
    ids = np.stack([_read(text, spec) for text in texts])  # (B, slots)
    words = model.encode({Modality.TEXT: ids})
    silence = torch.zeros(len(texts), *model.action_spec.sizes, dtype=torch.int64)
    prediction = model.predict(words, silence.to(model.device), outputs=outputs)
    known = prediction.state | words
    agreement = model.dynamics.consistency(model.latent(known))  # (B,)
    state = {m: known[m] if m in known else _neutral(model, m, len(texts)) for m in model.specs}
    missing = torch.zeros(len(texts), dtype=torch.bool)
    present = {m: missing.clone() for m in model.specs if m not in known}
    return state, present, agreement.detach().cpu().numpy().astype(np.float64)


def _learned(model: WorldGPT) -> Combination:
    """Return the combination from words to the most other modalities that training met."""
    if model.action_spec.kind != "text":
        raise InvalidOptionError(
            f"the actions of this world are {model.action_spec.kind}, and only text actions can be "
            f"empty, which a moment in words alone needs; {INSTEAD}."
        )
    words = (Modality.TEXT,)
    met = [Combination.parse(name) for name in model.config.combinations or ()]
    learned = [one for one in met if one.inputs == words and one.outputs != words]
    if not learned:
        wanted = Combination(words, tuple(m for m in model.specs if m is not Modality.TEXT))
        raise InvalidOptionError(
            f"this model was not trained on {wanted.name!r}, so it cannot imagine a moment from "
            f"words alone; {INSTEAD}, or train one with: worldgpt train --schedule progressive."
        )
    return max(learned, key=lambda one: (len(set(one.outputs) - set(words)), len(one.outputs)))


def _read(text: str, spec: TextSpec) -> np.ndarray:
    """Return the word ids ``(slots,)`` of ``text``; unknown, too many and no words are errors."""
    words = text.lower().split()
    unknown = unknown_words(words, spec.vocabulary)
    if unknown or not words:
        raise InvalidOptionError(
            f"this world does not know {unknown or 'an empty text'}; use some of its words: "
            f"{listed(spec.vocabulary)}."
        )
    if len(words) > spec.slots:
        raise InvalidOptionError(
            f"{text!r:.120} has {len(words)} words, and a text here has at most {spec.slots}."
        )
    return spec.encode(text)


def _neutral(model: WorldGPT, modality: Modality, rows: int) -> Tensor:
    """Return what stands for an absent modality in every row, ``(B, C, G)``."""
    return model.processor.neutral_codes(modality).repeat(rows, 1, 1).to(model.device)
