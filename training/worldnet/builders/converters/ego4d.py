"""Ego4D: the narrations (``narration.json``), or the hand-object actions (``fho_main.json``).

Narrations are ``{video: {"narration_pass_1": {"narrations": [{"timestamp_sec",
"narration_text"}]}}}``, in newer releases below ``"videos"``. A narration tells a moment; it lasts
until the next one. Of two passes, which are two people who tell the same, the first that tells
anything is read.
Hand-object actions are ``{"videos": [{"video_uid", "annotated_intervals": [{"narrated_actions":
[{"start_sec", "end_sec", "narration_text", "is_rejected", ...}]}]}]}``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .annotated import Annotated, Unusable, read_json, seconds, wrong_schema

PASSES = ("narration_pass_1", "narration_pass_2")
REFUSED = ("is_rejected", "is_invalid_annotation")


def read(path: Path) -> Iterator[Annotated | Unusable]:
    """Yield what the file tells; ``<video uid>.mp4`` is the recording."""
    data = read_json(path)
    videos = data.get("videos", data) if isinstance(data, dict) else None
    if isinstance(videos, list):
        yield from _actions(videos)
    elif isinstance(videos, dict) and any(
        isinstance(told, dict) and set(told) & set(PASSES) for told in videos.values()
    ):
        yield from _narrations(videos)
    else:
        raise wrong_schema(path, '"narration_pass_1" of a video and no list of "videos"')


def _narrations(videos: Mapping[str, Any]) -> Iterator[Annotated | Unusable]:
    """Yield the narrations; each lasts until the next."""
    row = -1
    for video, told in videos.items():
        spoken = _first_pass(told) if isinstance(told, dict) else []
        moments = [(seconds(one.get("timestamp_sec")), one.get("narration_text")) for one in spoken]
        known = sorted(moment for moment, _ in moments if moment is not None)
        for moment, text in moments:
            row += 1
            if moment is None:
                yield Unusable(row, "has no timestamp_sec")
                continue
            later = bisect_right(known, moment)
            end = known[later] if later < len(known) else None
            yield _told(video, text, moment, end, row)


def _first_pass(told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the narrations of the first pass that has any."""
    for name in PASSES:
        found = (told.get(name) or {}).get("narrations") or []
        if found:
            return [one for one in found if isinstance(one, dict)]
    return []


def _actions(videos: Sequence[Any]) -> Iterator[Annotated | Unusable]:
    """Yield the hand-object actions."""
    row = -1
    for video in videos:
        if not isinstance(video, dict):
            continue
        for interval in video.get("annotated_intervals") or []:
            for action in interval.get("narrated_actions") or []:
                row += 1
                start, end = seconds(action.get("start_sec")), seconds(action.get("end_sec"))
                refused = any(action.get(name) for name in REFUSED)
                if refused or action.get("is_valid_action") is False:
                    yield Unusable(row, "was refused by its annotator")
                elif start is None or end is None:
                    yield Unusable(row, "has no start_sec or no end_sec")
                else:
                    text = action.get("narration_text")
                    yield _told(str(video.get("video_uid")), text, start, end, row)


def _told(video: str, text: Any, start: float, end: float | None, row: int) -> Annotated | Unusable:
    """Return what a narration tells, without the marks of who acts (``#C C``, ``#O``)."""
    if not isinstance(text, str) or "#unsure" in text.lower():
        return Unusable(row, f"is not sure what happens: {text!r}")
    plain = re.sub(r"^\s*#c\s+c\b", "", text, flags=re.IGNORECASE)  # the one with the camera
    return Annotated(video, re.sub(r"#\w+", "", plain).strip(), start, end, row)
