"""The six scenarios of WorldNet-Crafted (WorldGPT §5.2), told by key words or by a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .filters import plain

KEYWORDS = {
    "cooking": (
        "cook cooking kitchen recipe fry fries boil boils stir stirs bake bakes chop chops slice "
        "slices peel peels dough flour oven stove pan pot sauce onion onions garlic egg eggs salt "
        "pepper butter oil bread vegetable vegetables meat chicken rice soup salad sandwich food"
    ),
    "domestic work": (
        "clean cleans cleaning wash washes washing wipe wipes sweep sweeps sweeping vacuum mop "
        "tidy tidying laundry clothes fold folds folding towel blanket pillow bed broom dust iron "
        "ironing wardrobe closet shelf cabinet drawer bathroom bedroom refrigerator"
    ),
    "entertainment": (
        "game games guitar piano violin drum drums music sing sings singing "
        "dance dances dancing television tv movie laptop phone book read reads reading card cards "
        "chess toy toys concert singer band instrument flute trumpet"
    ),
    "outdoor activity": (
        "outdoor outdoors walk walks walking hike hiking camp camping park street road garden tree "
        "trees beach river sea lake forest mountain rain wind bird birds dog horse boat sailboat "
        "car bus train motorcycle bicycle drive drives driving ride rides riding"
    ),
    "sports": (
        "sport sports ball football soccer basketball tennis golf baseball volleyball hockey "
        "badminton swim swims swimming run runs running jump jumps gym exercise yoga skate skating "
        "ski skiing surf surfing box boxing race climb climbs climbing bowling skateboard racket"
    ),
    "labor": (
        "work works worker hammer nail nails drill drills screw screws screwdriver saw saws wood "
        "plank weld welding metal brick bricks cement paint paints painting wall repair repairs "
        "engine machine tool tools wrench factory farm plough shovel dig digs build builds wire"
    ),
}
SCENARIOS = tuple(KEYWORDS)
_SCENARIO_OF = {word: name for name, words in KEYWORDS.items() for word in words.split()}
QUESTION = "Which of these scenarios fits best: {scenarios}? Answer with its name alone.\n\n{text}"


def by_words(texts: Iterable[str]) -> str:
    """Return the scenario that most key words of ``texts`` belong to; "" without any."""
    counts = Counter(
        _SCENARIO_OF[word] for text in texts for word in plain(text).split() if word in _SCENARIO_OF
    )
    return max(SCENARIOS, key=lambda name: counts[name]) if counts else ""


class Sorter:
    """Asks a chat model of transformers for the scenario."""

    def __init__(self, name: str) -> None:
        """Load the model ``name`` (or folder), as the rewriter does."""
        from .captioners import TransformersRewriter

        self._model = TransformersRewriter(name)

    def __call__(self, texts: Iterable[str]) -> str:
        """Return the scenario that the model names; "" if it names none, or repeats them all."""
        question = QUESTION.format(scenarios=", ".join(SCENARIOS), text=". ".join(texts))
        answer = f" {plain(self._model.answer(question))} "
        named = [name for name in SCENARIOS if f" {name} " in answer]
        return named[0] if len(named) == 1 else ""
