"""WorldNet-Arcade: games that are played, recorded in windows, and written as one WorldNet."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec, TextSpec

from ...stopwatch import Stopwatch
from ..format.annotation import WorldNetError
from ..format.description import WorldNetDescription
from ..format.folder import WorldNetFolder
from ..format.writer import WorldNetWriter
from .arcade_part import ACTION_SLOTS, TEXT_SLOTS, GamePart, record_part
from .process_pool import run_apart
from .sources import choose


@dataclass(frozen=True)
class ArcadeConfig:
    """What to record.

    Attributes:
        out: the WorldNet folder to be.
        windows: how many of each game, or one more.
        seed: the same seed plays the same games.
        games: which ones; () for all.
        workers: games that are played side by side, each in a process of its own.
    """

    out: str
    windows: int = 2000
    seed: int = 0
    games: tuple[str, ...] = ()
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.windows < 20:
            raise ConfigurationError(f"windows is {self.windows}; record at least 20 of each game.")
        if self.seed < 0 or self.workers < 1:
            raise ConfigurationError(
                f"seed is {self.seed} and workers {self.workers}; give whole numbers from 0 and 1."
            )
        choose(self.games)


def build_arcade(config: ArcadeConfig) -> dict[str, Any]:
    """Play every game of ``config`` and write what was seen, heard and done as one WorldNet.

    Each game becomes a part beside ``config.out`` first. Parts are kept until all are there, so the
    same call goes on where one that was stopped, or a game that died, left off.

    Returns:
        ``games`` (per game: windows, episodes, how many of them the game ended, reward events,
        share of windows that are heard, captions), ``splits`` (transitions of each), ``out``,
        ``seconds`` and ``cpu_seconds``.

    Raises:
        WorldNetError: ``config.out`` is there already, or a game could not be recorded.
    """
    watch, out = Stopwatch(), Path(config.out)
    if out.exists():
        raise WorldNetError(f"{out} is there already; choose another folder.")
    beside = out.parent / f".{out.name}.parts"
    parts = {
        name: GamePart(name, config.windows, config.seed, str(beside / name))
        for name in choose(config.games)
    }
    _record(parts, config.workers)
    folder = _join(config, {name: part.opened() for name, part in parts.items()})
    shutil.rmtree(beside)
    assert folder.description is not None
    return {
        "games": folder.description.built["figures"],
        "splits": {split: folder.counts[split]["transitions"] for split in folder.splits},
        "out": str(out),
        **watch.figures(),
    }


def _record(parts: Mapping[str, GamePart], workers: int) -> None:
    """Record the parts that are not there yet."""
    missing = {name: part for name, part in parts.items() if part.opened() is None}
    windows = sum(part.windows for part in parts.values())
    with tqdm(desc="arcade", total=windows, unit="window", disable=None) as bar:
        bar.update(windows - sum(part.windows for part in missing.values()))
        _, failures = run_apart(record_part, missing, workers, bar.update)
    if failures:
        told = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise WorldNetError(
            f"{len(failures)} of {len(parts)} games could not be recorded ({told}). The others are "
            "kept: the same command records what is missing, --games leaves games out."
        )


def _join(config: ArcadeConfig, parts: Mapping[str, WorldNetFolder | None]) -> WorldNetFolder:
    """Link the files of all parts into one WorldNet."""
    folders = {name: folder for name, folder in parts.items() if folder is not None}
    told = {name: f.description for name, f in folders.items() if f.description is not None}
    rates = {
        name: {key: value for key, value in one.built.items() if key != "figures"}
        for name, one in told.items()
    }
    built = {
        "command": "worldgpt worldnet build arcade",
        "windows": config.windows,
        "seed": config.seed,
        "versions": _versions(),
        "games": rates,
        "figures": {name: one.built["figures"] for name, one in told.items()},
    }
    description = _united(told.values(), built)
    with WorldNetWriter(config.out, description) as writer:
        for folder in folders.values():
            for split in folder.splits:
                annotations = folder.annotations(split)
                writer.add_files(split, annotations.transitions, folder.root)
    return WorldNetFolder.open(config.out)


def _united(parts: Iterable[WorldNetDescription], built: dict[str, Any]) -> WorldNetDescription:
    """Return a description with the words of all parts."""
    specs: dict[Modality, ModalitySpec] = {}
    texts, actions, scenarios = list[str](), list[str](), list[str]()
    for part in parts:
        text = part.specs[Modality.TEXT]
        assert isinstance(text, TextSpec)
        texts += text.vocabulary
        actions += part.action.names
        scenarios += part.scenarios
        specs |= part.specs
    specs[Modality.TEXT] = TextSpec.of(texts, TEXT_SLOTS)
    ordered = {modality: specs[modality] for modality in Modality if modality in specs}
    action = ActionSpec.text(actions, ACTION_SLOTS)
    return WorldNetDescription("worldnet-arcade", ordered, action, tuple(scenarios), built)


def _versions() -> dict[str, str]:
    """Return which versions of the games played here."""
    found = {}
    for package in ("ale-py", "vizdoom"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
