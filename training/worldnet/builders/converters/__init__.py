"""The annotation files of five data sets, one file a data set, each in its own schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from worldgpt_env.model.modalities import Modality

from . import avqa, charades, ego4d, ssv2, youcook2
from .annotated import Annotated, Unusable

__all__ = ["DATASETS", "Annotated", "DataSet", "Unusable"]


@dataclass(frozen=True)
class DataSet:
    """A data set that WorldNet-Crafted is made of.

    Attributes:
        title: its name.
        read: yields what an annotation file tells, row by row.
        media: what states keep of its recordings (WorldGPT Table 2 and its README).
        scenario: of all its recordings, where their words tell none; ``""``: it has many kinds,
            and those that tell none are rejected.
    """

    title: str
    read: Callable[[Path], Iterator[Annotated | Unusable]]
    media: tuple[Modality, ...]
    scenario: str = ""


_SEEN = (Modality.IMAGE, Modality.VIDEO)
_ALL = (*_SEEN, Modality.AUDIO)

DATASETS: Mapping[str, DataSet] = {
    "ssv2": DataSet("Something-Something V2", ssv2.read, (Modality.IMAGE,)),
    "youcook2": DataSet("YouCook2", youcook2.read, _SEEN, "cooking"),
    "ego4d": DataSet("Ego4D narrations or FHO", ego4d.read, _ALL),
    "charades": DataSet("Charades, Action Genome", charades.read, _ALL),
    "avqa": DataSet("AVQA", avqa.read, _ALL),
}
