"""WorldNet-Wild: long recordings with sound are cut, captioned and filtered (WorldGPT §5.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...stopwatch import Stopwatch
from ..format.annotation import WorldNetError
from ..format.gate import MediaError
from .captions import Captioner, RecordedWords
from .cutting import Change, CutConfig, find_boundaries
from .events import Event, EventBook, StateConfig, tally, write_events
from .filters import FilterConfig, plain
from .footage import CONTAINERS, Footage
from .splits import SplitShares


@dataclass(frozen=True)
class WildConfig:
    """How recordings become a WorldNet.

    Attributes:
        recordings: their folder; a wav of the same name beside a recording is its sound.
        out: the WorldNet folder to be.
        captioner: name or folder of an image-to-text model of transformers; ``""``: the recording
            tells itself, in ``<name>.words.json``.
        rewriter: name or folder of a chat model that puts descriptions into sentences; ``""``:
            none.
        cut: what counts as a boundary.
        filters: which events are kept.
        state: what is kept of a moment.
        shares: of the recordings that are test and knowledge.
        seed: of the splits.
    """

    recordings: str
    out: str
    captioner: str = ""
    rewriter: str = ""
    cut: CutConfig = field(default_factory=CutConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    state: StateConfig = field(default_factory=StateConfig)
    shares: SplitShares = field(default_factory=SplitShares)
    seed: int = 0


def build_wild(config: WildConfig) -> dict[str, Any]:
    """Cut all recordings in ``config.recordings`` into transitions and write them as a WorldNet.

    A boundary is a new shot, or a change of motion or of sound. What lies between two is one
    event; after a new shot a new sequence begins.

    Returns:
        ``found`` and ``rejected`` events, ``scenarios`` (events of each), ``splits`` (transitions
        of each), ``recordings``, ``boundaries`` of each kind, ``seconds_of_recordings``,
        ``out``, ``seconds`` and ``cpu_seconds``.

    Raises:
        WorldNetError: there is no recording, or none of them gave a transition.
        ConfigurationError: a model does not exist here.
    """
    watch, root = Stopwatch(), Path(config.recordings)
    names = sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if path.suffix.lower() in CONTAINERS
    )
    if not names:
        raise WorldNetError(
            f"there is no recording in {root}; recordings end with {', '.join(CONTAINERS)}."
        )
    if Path(config.out).exists():
        raise WorldNetError(f"{config.out} is there already; choose another folder.")
    book, cuts = EventBook(root), _Cuts()
    teller = _Teller(config, root)
    for name in tqdm(names, desc="watch", unit="recording", disable=None):
        try:
            _watch(book, name, teller, config, cuts)
        except MediaError as error:
            book.reject(name, -1, str(error))
    shares, seed = config.shares, config.seed
    folder = write_events(
        book, config.out, "worldnet-wild", config.state, _built(config), shares, seed
    )
    return {
        **tally(book, folder),
        "boundaries": {str(kind): cuts.kinds[kind] for kind in Change},
        "seconds_of_recordings": cuts.seconds,
        **watch.figures(),
    }


def _built(config: WildConfig) -> dict[str, Any]:
    """Return how it was made, as JSON values."""
    return {
        "command": "worldgpt worldnet build wild",
        "captioner": config.captioner or "recorded words",
        "rewriter": config.rewriter,
        "cut": asdict(config.cut),
        "filters": asdict(config.filters),
        "seed": config.seed,
    }


@dataclass
class _Cuts:
    """Counts boundaries, and the seconds that were watched."""

    kinds: Counter[Change] = field(default_factory=Counter)
    seconds: float = 0.0


class _Teller:
    """The captioner, and what is done with what it tells."""

    def __init__(self, config: WildConfig, root: Path) -> None:
        """Open the models that are named."""
        self._words = RecordedWords(root)
        self._captioner: Captioner = self._words
        self._rewrite: Callable[[str], str] | None = None
        self._models = bool(config.captioner)
        if config.captioner:
            from .captioners import TransformersCaptioner

            self._captioner = TransformersCaptioner(config.captioner)
        if config.rewriter:
            from .captioners import TransformersRewriter

            self._rewrite = TransformersRewriter(config.rewriter)

    def check_numbers(self, book: EventBook, name: str) -> None:
        """Take over what the numbers of a recording are; they are the same in all of them."""
        numbers = None if self._models else self._words.words(name).numbers
        if numbers is not None and book.numbers not in (None, numbers):
            raise MediaError(name, f"tells other numbers ({numbers}) than those before.")
        book.numbers = book.numbers or numbers

    def event(self, footage: Footage, start: float, end: float, row: int) -> Event:
        """Return what happens between two moments, in plain words."""
        caption = self._captioner.describe(footage, start, end)
        action = self._rewrite(caption.action) if self._rewrite and caption.action else ""
        caption = replace(
            caption,
            action=plain(action or caption.action),
            before=plain(caption.before),
            after=plain(caption.after),
        )
        scenario = "" if self._models else self._words.words(footage.name).scenario
        return Event(footage.name, start, end, caption, scenario, row, footage.name)


def _watch(book: EventBook, name: str, teller: _Teller, config: WildConfig, cuts: _Cuts) -> None:
    """Put the events of one recording into the book.

    Raises:
        MediaError: it cannot be read, or lacks its words.
    """
    footage, filters = Footage(book.root, name), config.filters
    teller.check_numbers(book, name)
    boundaries = find_boundaries(footage.signals(), config.cut)
    cuts.kinds.update(boundary.change for boundary in boundaries)
    cuts.seconds += footage.seconds
    edges = [0.0, *(boundary.second for boundary in boundaries), footage.seconds]
    opens = [True, *(boundary.change is Change.SHOT for boundary in boundaries)]
    whole = False  # the event before was kept
    for row, (start, end, shot) in enumerate(zip(edges[:-1], edges[1:], opens, strict=True)):
        reason = filters.refuse_length(end - start)
        if not reason:
            event = teller.event(footage, start, end, row)
            reason = filters.refuse_words(event.caption.action)
        if reason:
            book.reject(footage.name, row, reason)
        else:
            book.events.append(replace(event, joined=whole and not shot))
        whole = not reason
