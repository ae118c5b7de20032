"""Filters: which cut or annotated events become transitions; each refusal says why."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worldgpt_env.model.errors import ConfigurationError

STOP_WORDS = frozenset(
    "a an and are as at be been being by for from had has have he her him his i in is it its of on "
    "or she that the their them then there these they this to was were which while who with".split()
)
INSTRUCTION = frozenset({"rewrite", "description", "grammatical", "sentence"})  # to a rewriter
_ENDING = re.compile(r"(?<=\w\w)(?:ing|ed|es|s|d|e)$")


@dataclass(frozen=True)
class FilterConfig:
    """What is a reasonable length and a reasonable description (WorldGPT §5.1, without figures).

    Attributes:
        min_seconds: shorter events show nothing that changes.
        max_seconds: longer ones are several events.
        min_words: of the description of what happens; fewer say too little.
        max_words: more tell several things at once, or do not fit the slots of the words.
    """

    min_seconds: float = 0.5
    max_seconds: float = 30.0
    min_words: int = 1
    max_words: int = 20

    def __post_init__(self) -> None:
        """Refuse bounds that nothing passes."""
        if not 0 < self.min_seconds < self.max_seconds:
            raise ConfigurationError(
                f"events from {self.min_seconds} to {self.max_seconds} seconds do not exist; "
                "give 0 < min_seconds < max_seconds."
            )
        if not 1 <= self.min_words <= self.max_words:
            raise ConfigurationError(
                f"descriptions of {self.min_words} to {self.max_words} words do not exist; "
                "give 1 <= min_words <= max_words."
            )

    def refuse_length(self, seconds: float) -> str:
        """Return why an event of that length is left out, or ""."""
        if seconds < self.min_seconds:
            return f"lasts {seconds:.2f} s, less than {self.min_seconds:g} s"
        if seconds > self.max_seconds:
            return f"lasts {seconds:.2f} s, more than {self.max_seconds:g} s"
        return ""

    def refuse_words(self, sentence: str) -> str:
        """Return why an event that is described by plain ``sentence`` is left out, or ""."""
        count = len(sentence.split())
        if count == 0:
            return "has no description"
        if count < self.min_words:
            return f"is described by {count} words, fewer than {self.min_words}: {sentence!r}"
        if count > self.max_words:
            return f"is described by {count} words, more than {self.max_words}: {sentence!r}"
        return ""


def plain(sentence: str) -> str:
    """Return ``sentence`` in lower case and without punctuation, as text codecs read it."""
    return " ".join(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", sentence.lower()))


def keeps_content(description: str, sentence: str) -> bool:
    """Return whether a rewritten ``sentence`` says what ``description`` said; both are plain.

    All words that say what happens must come again, in whatever form (moves, moving), and none may
    be of the instruction, as where a model repeats what it was asked or says what it will do.
    """
    told, written = set(description.split()), set(sentence.split())
    if INSTRUCTION & written - told:
        return False
    content = told - STOP_WORDS or told
    return {_stem(word) for word in content} <= {_stem(word) for word in written}


def _stem(word: str) -> str:
    """Return ``word`` without what forms of it differ in: cut, cuts, cutting; carry, carries."""
    while len(word) > 3 and (shorter := _ENDING.sub("", word)) != word:
        word = shorter
    stem = word.rstrip("iy") or word
    return stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem
