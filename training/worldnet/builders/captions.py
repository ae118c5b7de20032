"""Captions: what happens in a part of a recording, told by its own words or by a model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from worldgpt_env.model.modalities import VectorSpec
from worldgpt_env.model.safe_json import parse_json

from ..format.annotation import FLOAT32
from ..format.gate import MediaError, read_bytes
from .footage import Footage

SAME = 1e-6  # seconds, within which two moments are one
WHOLE = (0.0, float("inf"))  # seconds of a recording without cuts


@dataclass(frozen=True)
class Caption:
    """What is told about one event.

    Attributes:
        action: what happens.
        before: what the state before it is like; "" if nobody says.
        after: what the state after it is like.
        vector_before: numbers of the state before.
        vector_after: numbers of the state after.
        reward: that was won in it.
    """

    action: str
    before: str = ""
    after: str = ""
    vector_before: tuple[float, ...] = ()
    vector_after: tuple[float, ...] = ()
    reward: float = 0.0


class Captioner(Protocol):
    """Tells what happens between two moments of a recording."""

    def describe(self, footage: Footage, start: float, end: float) -> Caption:
        """Return what happens between the seconds ``start`` and ``end``."""


@dataclass(frozen=True)
class RecordingWords:
    """What a recording itself tells, in the file ``<its name>.words.json`` beside it.

    Attributes:
        scenario: which kind of recording it is.
        states: ``(second, text, numbers)`` of states, in order.
        actions: ``(start, end, text)`` of actions, in order.
        rewards: ``(second, value)``, in order.
        numbers: what the numbers of the states are; None without.
    """

    scenario: str = ""
    states: Sequence[tuple[float, str, tuple[float, ...]]] = ()
    actions: Sequence[tuple[float, float, str]] = ()
    rewards: Sequence[tuple[float, float]] = ()
    numbers: VectorSpec | None = None

    @staticmethod
    def name(recording: str) -> str:
        """Return the name of the words of ``recording``."""
        return str(Path(recording).with_suffix(".words.json"))

    @classmethod
    def read(cls, root: Path, recording: str) -> RecordingWords:
        """Read the words beside a recording.

        Raises:
            MediaError: they are missing, or not what :meth:`to_json` writes.
        """
        name = cls.name(recording)
        try:
            data = parse_json(read_bytes(root, name))
            return cls(
                str(data["scenario"]),
                [
                    (_number(part["second"]), str(part["text"]), _numbers(part.get("vector", ())))
                    for part in data["states"]
                ],
                [
                    (_number(part["start"]), _number(part["end"]), str(part["text"]))
                    for part in data["actions"]
                ],
                [(_number(part["second"]), _number(part["value"])) for part in data["rewards"]],
                VectorSpec(**data["numbers"]) if data.get("numbers") else None,
            )
        except MediaError:
            raise
        except (ValueError, LookupError, TypeError, OverflowError, AttributeError) as error:
            raise MediaError(name, f"holds no words of a recording ({error!r}).") from error

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "scenario": self.scenario,
            "states": [
                {"second": second, "text": text, **({"vector": list(numbers)} if numbers else {})}
                for second, text, numbers in self.states
            ],
            "actions": [
                {"start": start, "end": end, "text": text} for start, end, text in self.actions
            ],
            "rewards": [{"second": second, "value": value} for second, value in self.rewards],
            "numbers": asdict(self.numbers) if self.numbers else None,
        }


@dataclass
class RecordedWords:
    """Tells what the recording itself says; recordings without words are refused.

    Attributes:
        root: folder of the recordings.
    """

    root: Path
    _read: dict[str, RecordingWords] = field(default_factory=dict)

    def describe(
        self, footage: Footage, start: float, end: float, shot: tuple[float, float] = WHOLE
    ) -> Caption:
        """Return the actions that were done between the two moments, and the states at them.

        An action counts if half of it, or half of the time, lies between them; several are told
        one after another: "move left then fire". States are those of ``shot``, where it is seen.
        """
        words = self.words(footage.name)
        before, after = (
            _last(words.states, moment) for moment in (max(start, shot[0]), min(end, shot[1]))
        )
        won = sum(value for second, value in words.rewards if start < second - SAME <= end)
        return Caption(
            " then ".join(_during(words.actions, start, end)), *_told(before, after), reward=won
        )

    def words(self, recording: str) -> RecordingWords:
        """Return the words of a recording, read once.

        Raises:
            MediaError: it has none, or they are not what was written.
        """
        if recording not in self._read:
            if not (self.root / RecordingWords.name(recording)).exists():
                raise MediaError(
                    recording,
                    f"has no words beside it ({RecordingWords.name(recording)}); name a model that "
                    "tells what it shows with --captioner, or write them.",
                )
            self._read[recording] = RecordingWords.read(self.root, recording)
        return self._read[recording]


def _told(
    before: tuple[str, tuple[float, ...]], after: tuple[str, tuple[float, ...]]
) -> tuple[str, str, tuple[float, ...], tuple[float, ...]]:
    return before[0], after[0], before[1], after[1]


def _last(
    states: Sequence[tuple[float, str, tuple[float, ...]]], moment: float
) -> tuple[str, tuple[float, ...]]:
    """Return what was said last up to ``moment``: the text and the numbers."""
    number = bisect_right(states, moment + SAME, key=lambda state: state[0])
    return states[number - 1][1:] if number else ("", ())


def _during(actions: Sequence[tuple[float, float, str]], start: float, end: float) -> list[str]:
    """Return what was done between two moments; what goes on is told once."""
    told: list[str] = []
    first = bisect_right(actions, start, key=lambda action: action[1])
    for begin, stop, text in actions[first:]:
        if begin >= end:
            break
        shared = min(stop, end) - max(begin, start)
        counts = shared > 0 and 2 * shared >= min(stop - begin, end - start)
        if counts and text and (not told or told[-1] != text):
            told.append(text)
    return told


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(_number(value) for value in values)


def _number(value: Any) -> float:
    """Return a number that 32 bits hold."""
    if not abs(float(value)) <= FLOAT32:  # also NaN
        raise ValueError(f"{value} is not finite in 32 bits")
    return float(value)
