"""What a WorldNet says about itself: name, shapes, action words, scenarios, how it was built."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldgpt_env.model import safe_json
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import (
    ActionSpec,
    Modality,
    ModalitySpec,
    specs_from_json,
    specs_to_json,
)

from .annotation import LARGEST, WorldNetError

FORMAT = 1
DESCRIPTION = "worldnet.json"
REJECTED = "rejected.jsonl"
SPLITS = ("train", "test", "knowledge")


@dataclass(frozen=True)
class WorldNetDescription:
    """What a WorldNet says about itself.

    Attributes:
        name: of the whole.
        specs: shape of each modality that the media are fitted to by default.
        action: a text action with its vocabulary.
        scenarios: the kinds of worlds in it.
        built: how it was made (command, seeds, rates), plain JSON values.
    """

    name: str
    specs: dict[Modality, ModalitySpec]
    action: ActionSpec
    scenarios: tuple[str, ...] = ()
    built: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse actions that are no words, and a world without modalities."""
        if self.action.kind != "text" or not self.specs:
            raise ConfigurationError(
                f"the WorldNet {self.name!r} has {self.action.kind} actions and the modalities "
                f"{[str(m) for m in self.specs]}; give ActionSpec.text(words, slots) and one spec."
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "format": FORMAT,
            "name": self.name,
            "specs": specs_to_json(self.specs),
            "action": dataclasses.asdict(self.action),
            "scenarios": list(self.scenarios),
            "built": dict(self.built),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WorldNetDescription:
        """Return the description written by :meth:`to_json`.

        Raises:
            WorldNetError: it is of another version.
        """
        if data["format"] != FORMAT:
            raise WorldNetError(
                f"the WorldNet has the format {data['format']!r:.60} and this version reads "
                f"{FORMAT}; open it with the version that wrote it."
            )
        return cls(
            str(data["name"]),
            specs_from_json(data["specs"]),
            ActionSpec(**data["action"]),
            tuple(data["scenarios"]),
            dict(data["built"]),
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises:
        WorldNetError: it cannot be read or is no object.
    """
    return safe_json.read_json(path, "Copy the folder again.", WorldNetError, LARGEST)
