"""Descriptions: moments found by the words that a user gives, the rare ones counting most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldgpt_env.model.modalities import TextSpec

from ..actions import listed, unknown_words
from ..errors import InvalidOptionError
from ..randomness import Keys, uniforms

NEAR = 0.5
"""The least match that counts as found."""


@dataclass(frozen=True)
class DescriptionMatch:
    """What a description led to: moments ``index`` ``(B,)`` int64 that all match it as well."""

    index: np.ndarray
    match: float


class Descriptions:
    """The words of many moments, to be searched.

    Args:
        ids: ``(R, slots)`` word ids of each moment.
        spec: of the words.
        present: ``(R,)`` bool, which moments have words at all.

    Attributes:
        weight: ``(V,)`` of each word, log(1 + moments / moments that hold it); 0 if none does.
    """

    def __init__(self, ids: np.ndarray, spec: TextSpec, present: np.ndarray) -> None:
        """Count the words of every moment."""
        self.spec = spec
        self._ids = np.where(present[:, None], ids, 0).astype(np.int64)  # (R, slots)
        self._counts = np.zeros((len(ids), len(spec.vocabulary)), np.uint8)  # (R, V)
        rows = np.arange(len(ids))[:, None]
        np.add.at(self._counts, (rows, self._ids), 1)
        self._counts[:, 0] = 0  # the empty word
        holders = (self._counts > 0).sum(0)  # (V,)
        self.weight = np.where(holders > 0, np.log1p(present.sum() / np.maximum(holders, 1)), 0.0)

    def nearest(self, description: str, keys: Keys) -> DescriptionMatch:
        """Return per key a moment that matches ``description`` best.

        The match is the share of the asked words that the moment holds, by weight; what else it
        holds does not matter. Among the best, those in which most of the asked words stand side by
        side as in the description come first, and among these the key chooses.

        Raises:
            InvalidOptionError: no moment holds a word, or none comes near all of them together.
        """
        asked = self._read(description)
        counts = np.bincount(asked, minlength=len(self.weight))  # (V,)
        kept = np.minimum(self._counts[:, counts > 0], counts[counts > 0])  # (R, asked words)
        weight = self.weight[counts > 0]
        match = (kept * weight).sum(1) / (counts[counts > 0] * weight).sum()  # (R,)
        if match.max() < NEAR:
            raise InvalidOptionError(
                f"no start state comes near {description!r:.120}; the nearest are "
                f"{self._shown(match)}. Ask for fewer words, or for those of one of them."
            )
        best = np.flatnonzero(match >= match.max() - 1e-9)
        order = self._neighbours(self._ids[best], asked)
        best = best[order == order.max()]
        index = best[(uniforms(keys) * len(best)).astype(np.int64)]
        return DescriptionMatch(index, float(match.max()))

    def alike(self, moment: int) -> np.ndarray:
        """Return the moments that have the very words of ``moment``, ``(K,)`` int64."""
        return np.flatnonzero((self._ids == self._ids[moment]).all(-1))

    def _read(self, description: str) -> np.ndarray:
        """Return the word ids of ``description``, which moments must hold."""
        words, known = description.lower().split(), self.spec.vocabulary
        held = [known[number] for number in np.flatnonzero(self.weight)]
        unknown = unknown_words(words, held)
        if unknown or not words:
            raise InvalidOptionError(
                f"no start state is described by {unknown or 'an empty description'}; "
                f"use some of these words: {listed(held)}."
            )
        index = {word: number for number, word in enumerate(known)}
        return np.array([index[word] for word in words])

    def _neighbours(self, ids: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Return how many neighbours in ``asked`` are neighbours in ``ids`` ``(R, slots)`` too.

        Both ends count as neighbours of an empty word, so that a whole sentence finds itself.
        """
        padded, sentence = np.pad(ids, ((0, 0), (1, 1))), np.pad(asked, 1)
        pairs = [
            ((padded[:, :-1] == left) & (padded[:, 1:] == right)).any(1)
            for left, right in zip(sentence[:-1], sentence[1:], strict=True)
        ]
        return np.sum(pairs, axis=0)  # (R,)

    def _shown(self, match: np.ndarray) -> str:
        """Return the three best texts with their match."""
        texts: dict[str, float] = {}
        for row in np.argsort(-match, kind="stable"):
            texts.setdefault(self.spec.decode(self._ids[row]), match[row])
            if len(texts) == 3:
                break
        return ", ".join(f"{text!r} ({score:.2f})" for text, score in texts.items())
