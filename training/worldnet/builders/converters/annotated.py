"""What an annotation file tells about one recording: when something happens, and what."""

from __future__ import annotations

from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model.safe_json import parse_json

from ...format.annotation import LARGEST, WorldNetError


@dataclass(frozen=True)
class Annotated:
    """One annotated action.

    Attributes:
        video: name of the recording, without its ending.
        action: what happens, as the data set has it.
        start: second at which it begins; None: the beginning of the recording.
        end: second at which it is over; None: the end of the recording.
        row: its number among all that the file tells, from 0.
        hint: more words that tell which scenario it is.
    """

    video: str
    action: str
    start: float | None
    end: float | None
    row: int
    hint: str = ""


@dataclass(frozen=True)
class Unusable:
    """A row that tells no action.

    Attributes:
        row: its number among all that the file tells, from 0.
        reason: why, as the end of a sentence about it.
    """

    row: int
    reason: str


def read_json(path: Path) -> Any:
    """Return the JSON in ``path``.

    Raises:
        WorldNetError: it is missing, too big, or no JSON.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        return parse_json(data.removeprefix(BOM_UTF8), LARGEST)
    except OSError as error:
        raise WorldNetError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise WorldNetError(f"{path} is no JSON of annotations: it {error}.") from error


def wrong_schema(path: Path, schema: str) -> WorldNetError:
    """Return the error about a file that is not what its data set publishes."""
    return WorldNetError(f"{path} is no annotation file of that data set: it has no {schema}.")


def seconds(value: Any) -> float | None:
    """Return ``value`` as seconds, or None if it is no number of them."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e7 else None
