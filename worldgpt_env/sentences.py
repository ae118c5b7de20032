"""Sentences as actions: words to ids, names to numbers, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import ActionSpec, TextSpec

from .errors import ConfigurationError, InvalidActionError

SHOWN = 40
"""Words that an error lists at most."""


class Sentences:
    """Reads the actions of ``spec`` from sentences: words of a text action, or a discrete's name.

    Upper and lower case, and the width of spaces, make no difference.

    Args:
        spec: of the actions; box and multidiscrete actions, and nameless ones, have no sentences.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """Look at the words of ``spec``."""
        self.spec = spec
        self.readable = spec.kind == "text" or (spec.kind == "discrete" and bool(spec.names))
        self._words = spec.vocabulary if spec.kind == "text" else None
        self._names = [_plain(name) for name in spec.names]

    def read(self, sentence: str) -> np.ndarray:
        """Return the action that ``sentence`` names, ``()`` int64, or ``(slots,)`` of text.

        Raises:
            InvalidActionError: a word is unknown, there are too many, or no action has the name.
        """
        if self._words is not None:
            return self._read_words(sentence, self._words)
        numbers = [n for n, name in enumerate(self._names) if name == _plain(sentence)]
        if len(numbers) != 1:
            named = ", ".join(f"{n} {name!r}" for n, name in enumerate(self.spec.names))
            meant = near(_plain(sentence), self._names)
            raise InvalidActionError(
                f"str {sentence!r:.80} is not an action here; pass a name that one action has, "
                f"or an integer from 0 to {len(self._names) - 1} ({named}){meant}."
            )
        return np.array(numbers[0])  # ()

    def write(self, action: np.ndarray | int) -> str:
        """Return the sentence of an action, which :meth:`read` reads."""
        if self._words is not None:
            return self._words.decode(np.asarray(action))
        return self.spec.names[int(action)]

    def _read_words(self, sentence: str, spec: TextSpec) -> np.ndarray:
        words = sentence.lower().split()
        if len(words) > spec.slots:
            raise InvalidActionError(
                f"{sentence!r:.120} has {len(words)} words, and an action here has at most "
                f"{spec.slots}; say it in fewer."
            )
        unknown = unknown_words(words, spec.vocabulary)
        if unknown:
            raise InvalidActionError(
                f"{sentence!r:.120} is not an action here: this world does not know {unknown}; "
                f"pass at most {spec.slots} of its words: {listed(spec.vocabulary)}."
            )
        return spec.encode(sentence)  # (slots,)


class Phrasebook:
    """Some sentences of a world with text actions, chosen by number.

    Args:
        spec: of the text actions.
        sentences: each once; their words must be known.

    Attributes:
        spec: the choice as discrete actions, named by the sentences.
        table: ``(n, slots)`` int64, the text action of each number.

    Raises:
        ConfigurationError: the actions are no text, or a sentence is missing or there twice.
        InvalidActionError: a word is unknown, or there are too many.
    """

    def __init__(self, spec: ActionSpec, sentences: Iterable[str]) -> None:
        """Read every sentence once."""
        if spec.kind != "text":
            raise ConfigurationError(
                f"the actions of this world are {spec.kind}, not text; use it without sentences."
            )
        chosen = (sentences,) if isinstance(sentences, str) else tuple(sentences)
        if not chosen or len({_plain(sentence) for sentence in chosen}) != len(chosen):
            raise ConfigurationError(f"sentences are {chosen}; give at least one, each once.")
        reader = Sentences(spec)
        self.table = np.stack([reader.read(sentence) for sentence in chosen])  # (n, slots)
        self.spec = ActionSpec("discrete", (len(chosen),), chosen)


def near(word: str, known: Iterable[str]) -> str:
    """Return ``"; near are 'left', 'lift'"`` out of ``known``, or ``""``."""
    found = difflib.get_close_matches(word, sorted(set(known)), n=3)
    return f"; near are {', '.join(map(repr, found))}" if found else ""


def unknown_words(words: Iterable[str], known: Iterable[str]) -> str:
    """Return the ``words`` that are not ``known``, each with near ones, or ``""``."""
    known = set(known) - {""}
    parts = []
    for word in dict.fromkeys(words):
        if word not in known:
            found = difflib.get_close_matches(word, sorted(known), n=3)
            meant = f" (near: {', '.join(map(repr, found))})" if found else ""
            parts.append(f"{word!r}{meant}")
    return ", ".join(parts)


def listed(words: Iterable[str]) -> str:
    """Return at most ``SHOWN`` of ``words`` in one line, without the reserved ones."""
    real = sorted(set(words) - {"", "<unknown>"})
    return " ".join(real[:SHOWN]) + (f" and {len(real) - SHOWN} more" if len(real) > SHOWN else "")


def is_sentences(actions: Any) -> bool:
    """Return whether ``actions`` are a list or tuple of sentences."""
    return isinstance(actions, list | tuple) and all(isinstance(one, str) for one in actions)


def _plain(sentence: str) -> str:
    """Return ``sentence`` in lower case with single spaces."""
    return " ".join(sentence.lower().split())
