"""Actions: the check that every action passes once, and sentences that stand for actions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np

from worldgpt_env.model.arguments import near, shown
from worldgpt_env.model.modalities import ActionSpec, TextSpec

from .errors import ConfigurationError, InvalidActionError

SHOWN = 40
"""Words that an error lists at most."""


class ActionValidator:
    """Returns the actions of a space as arrays, and refuses everything else.

    An action is what ``action_space.sample()`` returns: an integer for Discrete, an integer array
    for MultiDiscrete, a float32 (or float16) array inside the bounds for Box. A sentence stands for
    the ids of its words where actions are text, and for the number of the action with that name
    where they are discrete. Booleans, lists of numbers, ``None``, NaN, masked and object arrays,
    wrong shapes and values outside are refused; nothing is clipped or cast silently. Single and
    vector environments, real worlds and Stable-Baselines3's shell all use this one check.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """Prepare the bounds of ``spec``."""
        self.spec = spec
        self.sentences = Sentences(spec)
        self.dtype = np.dtype(np.float32 if spec.kind == "box" else np.int64)
        self.low: np.ndarray
        self.high: np.ndarray
        if spec.kind == "box":
            self.low = np.array(spec.low, np.float32)  # (n,)
            self.high = np.array(spec.high, np.float32)
        else:
            sizes = (len(spec.names),) * spec.sizes[0] if spec.kind == "text" else spec.sizes
            self.high = np.array(sizes, np.int64) - 1  # (parts,)
            self.high = self.high[0] if spec.kind == "discrete" else self.high  # () or (parts,)
            self.low = np.zeros_like(self.high)
        self.shape: tuple[int, ...] = self.high.shape

    def one(self, action: Any) -> np.ndarray:
        """Return the action of a single environment as a batch of one, ``(1,)`` or ``(1, parts)``.

        Raises:
            InvalidActionError: it is not in the action space.
        """
        if self.shape == () and isinstance(action, int) and not isinstance(action, bool):
            if not 0 <= action <= self.high:
                raise self._refusal(action, self.shape)
            return np.array([action])  # (1,)
        if isinstance(action, str) and self.sentences.readable:
            return self.sentences.read(action)[None]
        if not isinstance(action, np.ndarray | np.generic):
            raise self._refusal(action, self.shape)
        return self._check(action, self.shape)[None]

    def many(self, actions: Any, rows: int) -> np.ndarray:
        """Return the actions of ``rows`` environments, ``(rows,)`` or ``(rows, parts)``.

        Args:
            actions: an array of the batched action space, or a list with one sentence per row.
            rows: how many.

        Raises:
            InvalidActionError: they are not in the batched action space.
        """
        shape = (rows, *self.shape)
        if self.sentences.readable and is_sentences(actions) and len(actions) == rows:
            return np.stack([self.sentences.read(sentence) for sentence in actions])
        if not isinstance(actions, np.ndarray):
            raise self._refusal(actions, shape)
        return self._check(actions, shape)

    def _check(self, given: np.ndarray | np.generic, shape: tuple[int, ...]) -> np.ndarray:
        if isinstance(given, np.ma.MaskedArray):  # asarray() would uncover what is masked
            raise self._refusal(given, shape)
        array = np.asarray(given)
        kinds = "f" if self.dtype.kind == "f" else "iu"
        fits = array.shape == shape and array.dtype.kind in kinds
        if not fits or array.dtype.itemsize > self.dtype.itemsize:
            raise self._refusal(given, shape)
        if not ((array >= self.low) & (array <= self.high)).all():  # False for NaN
            raise self._refusal(given, shape)
        return array.astype(self.dtype)

    def _refusal(self, given: Any, shape: tuple[int, ...]) -> InvalidActionError:
        """Say what was given and what is allowed."""
        what = f"{type(given).__name__} {shown(given)}"
        if isinstance(given, np.ndarray):
            kind = "masked array" if isinstance(given, np.ma.MaskedArray) else "array"
            what = f"{kind} of shape {given.shape}, dtype {given.dtype}: {shown(given)}"
        return InvalidActionError(f"{what} is not an action here; pass {self._allowed(shape)}.")

    def _allowed(self, shape: tuple[int, ...]) -> str:
        sizes, names = self.spec.sizes, self.spec.names
        if self.spec.kind == "discrete":
            named = ", ".join(f"{number} {name!r}" for number, name in enumerate(names))
            text = f"an integer from 0 to {sizes[0] - 1}" + (f" ({named})" if named else "")
            return text if shape == () else f"an integer array of shape {shape}, each {text}"
        if self.spec.kind == "text":
            many = "" if len(shape) == 1 else f" for each of the {shape[0]} rows"
            return (
                f"a sentence of at most {sizes[0]} words{many} ({listed(names)}), or an integer "
                f"array of shape {shape} with word ids from 0 to {len(names) - 1}"
            )
        if self.spec.kind == "multidiscrete":
            return f"an integer array of shape {shape} with values from 0 below {sizes}"
        return (
            f"a float32 array of shape {shape} between {self.low.tolist()} and {self.high.tolist()}"
            " (a float64 array: .astype(np.float32))"
        )


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
                f"{shown(sentence, 120)} has {len(words)} words, and an action here has at most "
                f"{spec.slots}; say it in fewer."
            )
        unknown = unknown_words(words, spec.vocabulary)
        if unknown:
            raise InvalidActionError(
                f"{shown(sentence, 120)} is not an action here: this world does not know "
                f"{unknown}; pass at most {spec.slots} of its words: {listed(spec.vocabulary)}."
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
        chosen = parse_sentences(sentences)
        reader = Sentences(spec)
        self.table = np.stack([reader.read(sentence) for sentence in chosen])  # (n, slots)
        self.spec = ActionSpec("discrete", (len(chosen),), chosen)


def parse_sentences(sentences: Iterable[str]) -> tuple[str, ...]:
    """Return ``sentences`` as a tuple; one by itself counts as one.

    Raises:
        ConfigurationError: they are no texts, or one of them is there twice, or there is none.
    """
    wrong = f"sentences are {shown(sentences)}; give at least one, each once."
    try:
        given = iter((sentences,) if isinstance(sentences, str) else sentences)
    except Exception as error:
        raise ConfigurationError(wrong) from error
    chosen: dict[str, str] = {}
    for sentence in given:  # one by one: an endless iterator meets an error at once
        if not isinstance(sentence, str) or _plain(sentence) in chosen:
            raise ConfigurationError(wrong)
        chosen[_plain(sentence)] = sentence
    if not chosen:
        raise ConfigurationError(wrong)
    return tuple(chosen.values())


def unknown_words(words: Iterable[str], known: Iterable[str]) -> str:
    """Return the ``words`` that are not ``known``, each with near ones, or ``""``."""
    known = set(known) - {""}
    parts = []
    for word in dict.fromkeys(words):
        if word not in known:
            found = difflib.get_close_matches(word, sorted(known), n=3)
            meant = f" (near: {', '.join(map(repr, found))})" if found else ""
            parts.append(f"{shown(word, 40)}{meant}")
    return ", ".join(parts[:SHOWN])


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
