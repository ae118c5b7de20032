"""What a recording on disk says about itself: metadata of a Minari dataset, with checksums."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.model.modalities import (
    ActionSpec,
    Modality,
    ModalitySpec,
    action_from_json,
    specs_from_json,
    specs_to_json,
)
from worldgpt_env.model.safe_io import recover_folder
from worldgpt_env.model.safe_json import Fields, one_line, read_json, shorten

from .episode import RecordingError

METADATA = "metadata.json"
DATA = "main_data.hdf5"
FORMAT = 2  # 1: without presence, scenarios and checksums
READABLE = (1, 2)
SUM, SEAL = "worldgpt_data_sha256", "worldgpt_seal"  # in the metadata


@dataclass(frozen=True)
class Description:
    """What a dataset says about itself.

    Attributes:
        world: name of the recorded world.
        specs: shape of each modality.
        action_spec: what an agent may do.
        settings: how it was collected (policy, seed, ...), plain JSON values.
    """

    world: str
    specs: dict[Modality, ModalitySpec]
    action_spec: ActionSpec
    settings: dict[str, Any]

    @property
    def world_options(self) -> dict[str, Any]:
        """Keyword arguments of ``make_world`` with which the world was recorded."""
        return dict(self.settings.get("world_options", {}))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "format": FORMAT,
            "world": self.world,
            "specs": specs_to_json(self.specs),
            "action_spec": dataclasses.asdict(self.action_spec),
            "settings": self.settings,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Description:
        """Return the description written by :meth:`to_json`."""
        if data["format"] not in READABLE:
            raise RecordingError(
                f"the dataset has the format {shorten(data['format'])} and this version reads "
                f"{' and '.join(map(str, READABLE))}; open it with the version that wrote it."
            )
        told = Fields(dict(data), "the description of the dataset", RecordingError)
        settings = told.part("settings")
        if "world_options" in settings:
            settings.part("world_options")
        return cls(
            told.text("world"),
            specs_from_json(data["specs"]),
            action_from_json(data["action_spec"]),
            settings.data,
        )


def read_description(folder: str | Path) -> Description:
    """Return what the dataset in ``folder`` says about itself.

    Raises:
        RecordingError: there is no dataset, it is not one of ours, or its metadata were changed.
    """
    return read_metadata(Path(folder))[1]


def read_metadata(folder: Path) -> tuple[dict[str, Any], Description]:
    """Return Minari's metadata of ``folder``, and our part in it."""
    recover_folder(folder / "data")
    path = folder / "data" / METADATA
    if not path.is_file():
        if (folder / "collect.json").is_file():
            raise RecordingError(
                f"the recording {folder} is not complete; go on with the worldgpt collect command "
                "that began it."
            )
        raise RecordingError(
            f"there is no recording in {folder}; "
            f"make one with: worldgpt collect --world NAME --steps N --out {folder}"
        )
    # Minari writes every bound of every number of a space.
    metadata = read_json(path, "Record it again.", RecordingError, 2**28, figures=True)
    if "worldgpt" not in metadata:
        raise RecordingError(
            f"{folder} is a Minari dataset that worldgpt collect did not make: it lacks the specs "
            "of its modalities. Record the world with worldgpt collect."
        )
    try:
        description = Description.from_json(metadata["worldgpt"])
    except RecordingError:
        raise
    except (KeyError, ValueError, TypeError) as error:
        raise RecordingError(
            f"{path} is damaged: it does not describe a recording ({one_line(error)}); record it "
            "again."
        ) from error
    if (SUM in metadata or metadata["worldgpt"]["format"] != 1) and metadata.get(SEAL) != _seal_of(
        metadata
    ):
        raise RecordingError(
            f"{path} is damaged, or was changed after it was written; record it again, or restore "
            "it."
        )
    return metadata, description


def seal(data: Path) -> None:
    """Add to the metadata in ``data`` the checksums of the arrays, and of themselves."""
    path = data / METADATA
    metadata = json.loads(path.read_text(encoding="utf-8"))
    with (data / DATA).open("rb") as file:
        metadata[SUM] = hashlib.file_digest(file, "sha256").hexdigest()
    metadata[SEAL] = _seal_of(metadata)
    path.write_text(json.dumps(metadata), encoding="utf-8")


def _seal_of(metadata: Mapping[str, Any]) -> str:
    """Return the checksum of what is read of the metadata."""
    read = [metadata.get(key) for key in ("worldgpt", "total_episodes", "total_steps", SUM)]
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def check_sum(path: Path, metadata: Mapping[str, Any]) -> None:
    """Compare the arrays with their checksum, which format 1 does not have."""
    if SUM not in metadata:
        return
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    if found != metadata[SUM]:
        raise RecordingError(
            f"{path} is truncated or damaged, or was changed after it was written; record it again "
            "with worldgpt collect. To change one: Recording.load, then save to a new folder."
        )


def count_episodes(folder: Path) -> int:
    """Return the number of episodes of the dataset in ``folder``."""
    metadata, _ = read_metadata(folder)
    return int(metadata["total_episodes"])
