"""Annotations: WorldNet's JSON lists of ``state0``, ``state1`` and ``action``; "" is missing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.safe_io import write_bytes

MEDIA = ("image", "video", "audio")
LARGEST = 2**31  # bytes of an annotation file
FLOAT32 = float(np.finfo(np.float32).max)  # rewards and vectors are kept in 32 bits
_GAP = re.compile(r"[\s,]*")
_ITEM = re.compile(r'\{\s*"(?:state0|state1|action|scenario|episode|step|reward|terminated)"')


class WorldNetError(WorldGPTError, ValueError):
    """A WorldNet folder or annotation file is missing, damaged or not one."""


@dataclass(frozen=True)
class Rejection:
    """What was left out, and why.

    Attributes:
        source: the annotation file, or whatever the item came from.
        row: its number in that source, from 0; -1 where there are no rows.
        reason: one sentence.
    """

    source: str
    row: int
    reason: str

    @property
    def place(self) -> str:
        """Where it was found: the source, and the row if there is one."""
        return self.source if self.row < 0 else f"{self.source}, row {self.row}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"source": self.source, "row": self.row, "reason": self.reason}


def count_rejected(rejected: Iterable[Rejection]) -> str:
    """Return how many recordings and events were rejected, in words."""
    rows = [rejection.row for rejection in rejected]
    kinds = {"recording": sum(row < 0 for row in rows), "event": sum(row >= 0 for row in rows)}
    told = [f"{count} {kind}{'s' * (count != 1)}" for kind, count in kinds.items() if count]
    return " and ".join(told) or "nothing"


def tell_rejected(rejected: Sequence[Rejection]) -> str:
    """Return a sentence about why nothing is left."""
    if not rejected:
        return "Nothing was given."
    last, reason = rejected[-1], rejected[-1].reason.removesuffix(".")
    return f"Refused: {count_rejected(rejected)}; the last, {last.place}: {reason}."


@dataclass(frozen=True)
class StateFiles:
    """One state: paths of its media relative to the root, its words, its numbers.

    Attributes:
        image: a jpg or png, ``""`` if the state has none.
        video: an mp4.
        audio: a wav or flac.
        text: what the state is like, in words.
        vector: numbers; not part of the authors' format.
    """

    image: str = ""
    video: str = ""
    audio: str = ""
    text: str = ""
    vector: tuple[float, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of what is there, in the order of the fields."""
        return tuple(name for name in (*MEDIA, "text", "vector") if getattr(self, name))

    def to_json(self) -> dict[str, Any]:
        """Return the authors' four keys, and ``vector`` if there is one."""
        part: dict[str, Any] = {name: getattr(self, name) for name in (*MEDIA, "text")}
        return part | ({"vector": list(self.vector)} if self.vector else {})


@dataclass(frozen=True)
class WorldNetTransition:
    """A state, what happened, and the state after it.

    Attributes:
        state0: before.
        state1: after; the same files as ``state0`` of the next transition of the episode.
        action: in words.
        scenario: which kind of world it is from.
        episode: which recording it is from; transitions of one episode never share two splits.
        step: its number in the episode.
        reward: that followed the action.
        terminated: the world ended there.
    """

    state0: StateFiles
    state1: StateFiles
    action: str
    scenario: str = ""
    episode: str = ""
    step: int = 0
    reward: float = 0.0
    terminated: bool = False

    def follows(self, before: WorldNetTransition) -> bool:
        """Return whether it goes on where ``before`` ended: same episode, same state."""
        same = (before.scenario, before.episode) == (self.scenario, self.episode)
        return same and before.state1 == self.state0 and not before.terminated

    def to_json(self) -> dict[str, Any]:
        """Return the authors' three keys, then ours."""
        return {
            "state0": self.state0.to_json(),
            "state1": self.state1.to_json(),
            "action": {"text": self.action},
            "scenario": self.scenario,
            "episode": self.episode,
            "step": self.step,
            "reward": self.reward,
            "terminated": self.terminated,
        }


@dataclass(frozen=True)
class Annotations:
    """What an annotation file holds.

    Attributes:
        transitions: the rows that are whole, in order.
        rows: the number of each in the file, from 0.
        rejected: the others.
    """

    transitions: list[WorldNetTransition]
    rows: list[int]
    rejected: list[Rejection] = field(default_factory=list)


def sequence_lengths(rows: Iterable[tuple[int, WorldNetTransition]]) -> list[int]:
    """Return how many rows each sequence has; each is one episode of a recording.

    Args:
        rows: their numbers in the annotation file, and the rows, in order. A row goes on with the
            sequence if it :meth:`~WorldNetTransition.follows` the row just before it.
    """
    lengths = list[int]()
    last: tuple[int, WorldNetTransition] | None = None
    for number, row in rows:
        if last is not None and number == last[0] + 1 and row.follows(last[1]):
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = number, row
    return lengths


def read_annotations(path: str | Path) -> Annotations:
    """Read an annotation file; a row that is not whole is rejected and the rest is kept.

    Raises:
        WorldNetError: the file is missing, not readable, or no list at all.
    """
    path = Path(path)
    found = Annotations([], [])
    for row, item in enumerate(_items(path)):
        try:
            if isinstance(item, ValueError):
                raise item
            found.transitions.append(_transition(item))
            found.rows.append(row)
        except ValueError as error:
            found.rejected.append(Rejection(str(path), row, str(error)))
    return found


def write_annotations(path: str | Path, transitions: Iterable[WorldNetTransition]) -> None:
    """Write ``transitions`` as a JSON list, one row a line; the file appears in one step."""
    rows = [json.dumps(t.to_json(), ensure_ascii=False, allow_nan=False) for t in transitions]
    write_bytes(path, ("[" + ",\n ".join(rows) + "]\n").encode())


def _items(path: Path) -> list[Any]:
    """Return the items of the list in ``path``; a ValueError stands for an item that is no JSON."""
    try:
        if path.stat().st_size > LARGEST:
            raise WorldNetError(f"{path} has over {LARGEST} bytes; split it into several files.")
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise WorldNetError(f"{path} cannot be read: {error.strerror or error}.") from error
    text = text.removeprefix("\ufeff")
    try:
        items = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        items = _salvage(text, error) if text.lstrip().startswith("[") else None
    if not isinstance(items, list):
        raise WorldNetError(
            f"{path} is no list of transitions; an annotation file is a JSON list of "
            '{"state0": {...}, "state1": {...}, "action": {"text": ...}}.'
        )
    return items


def _salvage(text: str, problem: Exception) -> list[Any]:
    """Return the items of a list that has a ``problem``: each by itself, damaged ones as errors."""
    items: list[Any] = []
    place = text.index("[") + 1
    while (match := _GAP.match(text, place)) and match.end() < len(text):
        place = match.end()
        if text[place] == "]":
            break
        try:
            item, place = _DECODER.raw_decode(text, place)
            items.append(item)
        except (ValueError, RecursionError) as error:
            known = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
            items.append(error if known else ValueError(f"is no JSON: {error}"))
            following = _ITEM.search(text, place + 1)
            place = following.start() if following else len(text)
    if not any(isinstance(item, ValueError) for item in items):  # between or behind the items
        items.append(ValueError(f"is missing, the list is damaged: {problem}"))
    return items


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: one of the two values would be lost."""
    items = dict(pairs)
    if len(items) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"has the key {max(keys, key=keys.count)!r} twice")
    return items


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)


def _transition(item: Any) -> WorldNetTransition:
    """Return one item as a transition; a ValueError says what it lacks."""
    if not isinstance(item, dict):
        raise ValueError(f"is {_kind(item)} instead of an object")
    for key in ("state0", "state1", "action"):
        if not isinstance(item.get(key), dict):
            raise ValueError(f"has {_kind(item.get(key))} as {key!r} instead of an object")
    action = _words(item["action"], "text", "'action'")
    if not action.strip():
        raise ValueError("has an action without text")
    step = item.get("step", 0)
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError(f"has the step {step!r:.60} instead of a whole number from 0")
    terminated = item.get("terminated", False)
    if not isinstance(terminated, bool):
        raise ValueError(f"has {terminated!r:.60} as 'terminated' instead of true or false")
    episode = item.get("episode", "")
    if isinstance(episode, int) and not isinstance(episode, bool):
        item = {**item, "episode": str(episode)}
    return WorldNetTransition(
        _state(item["state0"], "state0"),
        _state(item["state1"], "state1"),
        action,
        _words(item, "scenario", "the row"),
        _words(item, "episode", "the row"),
        step,
        _number(item.get("reward", 0.0), "the reward"),
        terminated,
    )


def _state(part: Mapping[str, Any], name: str) -> StateFiles:
    """Return one state; a key that we do not know would lose a modality, so it is refused."""
    unknown = sorted(set(part) - {*MEDIA, "text", "vector"})
    if unknown:
        raise ValueError(f"has the unknown keys {unknown} in {name!r}")
    texts = {key: _words(part, key, repr(name)) for key in (*MEDIA, "text")}
    numbers = part.get("vector", [])
    if not isinstance(numbers, list):
        raise ValueError(f"has {_kind(numbers)} as 'vector' of {name!r} instead of a list")
    state = StateFiles(
        **texts, vector=tuple(_number(n, f"the vector of {name!r}") for n in numbers)
    )
    if not state.modalities:
        raise ValueError(f"has an empty {name!r}: no image, video, audio, text or vector")
    return state


def _words(part: Mapping[str, Any], key: str, where: str) -> str:
    """Return the text at ``key``, "" if it is not there."""
    value = part.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"has {_kind(value)} as {key!r} of {where} instead of text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"has bytes in {key!r} of {where} that are no UTF-8") from None
    return value


def _number(value: Any, what: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"has {_kind(value)} in {what} instead of a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"has a number in {what} that is not finite")
    if abs(number) > FLOAT32:
        raise ValueError(f"has {number:g} in {what}, and 32 bits hold up to {FLOAT32:.4g}")
    return number


def _kind(value: Any) -> str:
    """Name the JSON type of ``value``."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")
