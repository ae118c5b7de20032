"""WorldNet-Wild: long recordings with sound are cut, captioned and filtered (WorldGPT §5.1)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...stopwatch import Stopwatch
from ..format.annotation import WorldNetError
from ..format.gate import MediaError
from .captions import Caption, Captioner, RecordedWords
from .cutting import Change, CutConfig, find_boundaries
from .events import Event, EventBook, StateConfig, tally, write_events
from .filters import FilterConfig, keeps_content, plain
from .footage import CONTAINERS, RATE, Footage
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
    event; after a new shot a new sequence begins. An action is kept as it was told where the
    rewriter loses a word that says what happens.

    Returns:
        ``found`` and ``rejected`` events, ``scenarios`` (events of each), ``splits`` (transitions
        of each), ``recordings``, ``boundaries`` of each kind, ``actions`` that the rewriter put
        into other words and those that it did not, ``seconds_of_recordings``, ``refused`` in
        words, ``out``, ``seconds`` and ``cpu_seconds``.

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
            book.reject(name, -1, error.reason if error.file == name else str(error))
    shares, seed = config.shares, config.seed
    folder = write_events(
        book, config.out, "worldnet-wild", config.state, _built(config), shares, seed
    )
    return {
        **tally(book, folder),
        "boundaries": {str(kind): cuts.kinds[kind] for kind in Change},
        "actions": dict(teller.rewritten),
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
    """The captioner, and what is done with what it tells.

    Attributes:
        rewritten: how many actions were, and how many were left as they were.
    """

    def __init__(self, config: WildConfig, root: Path) -> None:
        """Open the models that are named."""
        self._words = RecordedWords(root)
        self._captioner: Captioner | None = None
        self._rewrite: Callable[[str], str] | None = None
        self.rewritten = Counter[str]()
        if config.captioner:
            from .captioners import TransformersCaptioner

            self._captioner = TransformersCaptioner(config.captioner)
        if config.rewriter:
            from .captioners import TransformersRewriter

            self._rewrite = TransformersRewriter(config.rewriter)

    def check_numbers(self, book: EventBook, name: str) -> None:
        """Take over what the numbers of a recording are; they are the same in all of them."""
        numbers = None if self._captioner else self._words.words(name).numbers
        if numbers is not None and book.numbers not in (None, numbers):
            raise MediaError(name, f"tells other numbers ({numbers}) than those before.")
        book.numbers = book.numbers or numbers

    def event(self, footage: Footage, event: Event) -> Event:
        """Return an event with what happens in it, in plain words, and its scenario."""
        start, end = event.start, event.end
        if self._captioner is not None:  # it looks at pictures, which are to be of one shot
            start, end = max(start, event.shot[0]), min(end, event.shot[1])
            caption = self._captioner.describe(footage, start, end)
        else:
            caption = self._words.describe(footage, start, end, event.shot)
        caption = replace(
            caption,
            action=self._rewritten(caption.action),
            before=plain(caption.before),
            after=plain(caption.after),
        )
        scenario = "" if self._captioner else self._words.words(footage.name).scenario
        return replace(event, caption=caption, scenario=scenario)

    def _rewritten(self, told: str) -> str:
        """Return an action in the rewriter's words, or as told where those lose what happens."""
        action = plain(told)
        if self._rewrite is None or not action:
            return action
        sentence = plain(self._rewrite(told))
        kept = keeps_content(action, sentence)
        self.rewritten["rewritten" if kept else "left as they were told"] += 1
        return sentence if kept else action


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
    shots = [boundary.second for boundary in boundaries if boundary.change is Change.SHOT]
    opens = {0.0, *shots}
    whole = False  # the event before was kept
    for row, (start, end) in enumerate(pairwise(edges)):
        shot = _shot(shots, start, footage.seconds)
        event = Event(name, start, end, Caption(""), "", row, name, shot=shot)
        reason = filters.refuse_length(end - start)
        if not reason:
            event = teller.event(footage, event)
            reason = filters.refuse_words(event.caption.action)
        if reason:
            book.reject(name, row, reason)
        else:
            book.events.append(replace(event, joined=whole and start not in opens))
        whole = not reason


def _shot(shots: list[float], start: float, seconds: float) -> tuple[float, float]:
    """Return from when to when the shot that ``start`` is in is surely seen.

    A recording is looked at in moments, and a new shot may begin anywhere between two of them.
    """
    number, unsure = bisect_right(shots, start), 0.5 / RATE
    begin = shots[number - 1] + unsure if number else 0.0
    return begin, shots[number] - unsure if number < len(shots) else seconds
