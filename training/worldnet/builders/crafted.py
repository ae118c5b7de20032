"""WorldNet-Crafted: annotated data sets become transitions, in order (WorldGPT §5.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from worldgpt_env.model.errors import ConfigurationError

from ...stopwatch import Stopwatch
from ..format.annotation import WorldNetError
from ..format.gate import MediaError
from .captions import Caption
from .converters import DATASETS, Annotated, Unusable
from .events import Event, EventBook, StateConfig, tally, write_events
from .filters import FilterConfig, plain
from .footage import CONTAINERS, Footage
from .scenarios import Sorter, by_words
from .splits import SplitShares

Sort = Callable[[Iterable[str]], str]
TOUCH = 0.05  # seconds between two actions that follow each other at once


@dataclass(frozen=True)
class CraftedConfig:
    """How an annotated data set becomes a WorldNet.

    Attributes:
        dataset: one of :data:`~.converters.DATASETS`.
        annotations: its annotation files.
        media: the folder of its recordings, in whatever folders below.
        out: the WorldNet folder to be.
        sorter: name or folder of a chat model that tells the scenario; ``""``: key words do.
        filters: which actions are kept.
        state: what is kept of a moment; its media default to those of the data set.
        shares: of the recordings that are test and knowledge.
        seed: of the splits.
    """

    dataset: str
    annotations: tuple[str, ...]
    media: str
    out: str
    sorter: str = ""
    filters: FilterConfig = field(default_factory=FilterConfig)
    state: StateConfig | None = None
    shares: SplitShares = field(default_factory=SplitShares)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a data set that is not known."""
        if self.dataset not in DATASETS:
            raise ConfigurationError(
                f"there is no data set {self.dataset!r}; choose from {', '.join(DATASETS)}."
            )


def build_crafted(config: CraftedConfig) -> dict[str, Any]:
    """Write the annotated actions of a data set as a WorldNet; their order in a recording is kept.

    An action that begins where the one before ends shares its state, and their sequence goes on.
    All actions of one recording are in one split and one scenario.

    Returns:
        ``found`` and ``rejected`` actions, ``scenarios`` (actions of each), ``splits``
        (transitions of each), ``recordings``, ``out``, ``seconds`` and ``cpu_seconds``.

    Raises:
        WorldNetError: a file is not what the data set publishes, or nothing is left.
        ConfigurationError: the sorter does not exist here.
    """
    watch, root, known = Stopwatch(), Path(config.media), DATASETS[config.dataset]
    if Path(config.out).exists():
        raise WorldNetError(f"{config.out} is there already; choose another folder.")
    sort: Sort = Sorter(config.sorter) if config.sorter else by_words
    recordings, book = _recordings(root), EventBook(root)
    for name in config.annotations:
        _gather(book, name, recordings, sort, config)
    book.events.sort(key=lambda event: (event.recording, event.source, event.start, event.end))
    built = {
        "command": f"worldgpt worldnet build crafted --dataset {config.dataset}",
        "dataset": known.title,
        "sorter": config.sorter or "key words",
        "filters": asdict(config.filters),
        "seed": config.seed,
    }
    state = config.state or StateConfig(media=known.media)
    folder = write_events(
        book, config.out, f"worldnet-{config.dataset}", state, built, config.shares, config.seed
    )
    return {**tally(book, folder), **watch.figures()}


def _gather(
    book: EventBook, source: str, recordings: dict[str, str], sort: Sort, config: CraftedConfig
) -> None:
    """Put the actions of one annotation file into the book."""
    known = DATASETS[config.dataset]
    told = _usable(book, source, known.read(Path(source)))
    for video, group in tqdm(told, desc=config.dataset, unit="recording", disable=None):
        try:
            if video not in recordings:
                raise MediaError(video, f"is no recording in {book.root}.")
            footage = Footage(book.root, recordings[video])
        except MediaError as error:
            for one in group:
                book.reject(source, one.row, str(error))
        else:
            scenario = sort([f"{one.action} {one.hint}" for one in group]) or known.scenario
            _take(book, source, footage, group, scenario, config.filters)


def _recordings(root: Path) -> dict[str, str]:
    """Return the path of each recording below ``root`` by its name without ending."""
    if not root.is_dir():
        raise WorldNetError(f"there is no folder {root}; name the one of the recordings.")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in CONTAINERS)
    return {path.stem: str(path.relative_to(root)) for path in paths}


def _usable(
    book: EventBook, source: str, rows: Iterable[Annotated | Unusable]
) -> list[tuple[str, list[Annotated]]]:
    """Return the actions of each recording in order; rows without one are rejected."""
    found = list[Annotated]()
    for row in rows:
        if isinstance(row, Unusable):
            book.reject(source, row.row, row.reason)
        else:
            found.append(row)
    found.sort(key=lambda one: (one.video, one.start or 0.0, one.end or float("inf")))
    return [(video, list(group)) for video, group in groupby(found, key=lambda one: one.video)]


def _take(
    book: EventBook,
    source: str,
    footage: Footage,
    group: Sequence[Annotated],
    scenario: str,
    filters: FilterConfig,
) -> None:
    """Put the actions of one recording into the book."""
    before: Event | None = None
    for one in group:
        start = one.start or 0.0
        end = footage.seconds if one.end is None else min(one.end, footage.seconds)
        caption = Caption(plain(one.action))
        shot = (0.0, footage.seconds)
        event = Event(footage.name, start, end, caption, scenario, one.row, source, shot=shot)
        reason = _refuse(event, footage, filters)
        if reason:
            book.reject(source, one.row, reason)
            before = None
            continue
        joined = before is not None and abs(before.end - start) < TOUCH
        before = replace(event, joined=joined)
        book.events.append(before)


def _refuse(event: Event, footage: Footage, filters: FilterConfig) -> str:
    """Return why an action is left out, or ""."""
    if event.start >= footage.seconds:
        return f"begins at {event.start:.1f} s, after the recording's {footage.seconds:.1f} s"
    if not event.scenario:
        return "fits none of the scenarios; name a chat model with --sorter"
    length = filters.refuse_length(event.end - event.start)
    return length or filters.refuse_words(event.caption.action)
