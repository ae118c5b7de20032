"""Cost: predictions per CPU-second, as embeddings alone and with their observations decoded."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import MissingHeadError
from worldgpt_env.model.modalities import Modality

from ..results_io import MERGED, Result
from ..stopwatch import Stopwatch
from .samples import EncodedSamples

LEAST = 0.3  # CPU-seconds of one measurement: the clock counts hundredths


@dataclass(frozen=True)
class Rates(Result):
    """Predictions per CPU-second; ``decoded`` and ``ratio`` are None without a decoder."""

    embedding: float | None
    decoded: float | None
    ratio: float | None


@dataclass(frozen=True)
class Cost(Result):
    """The rates of ``rows`` predicted in one pass, per output: ``"all"`` and every modality."""

    rows: int
    outputs: dict[str, Rates] = field(metadata=MERGED)


def measure_cost(model: WorldGPT, test: EncodedSamples, rows: int = 64, repeats: int = 3) -> Cost:
    """Measure how much a prediction costs with and without decoding it.

    All evaluated modalities are read, and all of them predicted; then each alone is predicted.

    Args:
        model: the world model.
        test: held-out transitions; the first ``rows`` are predicted, missing modalities or not.
        rows: predicted in one pass.
        repeats: measurements, of which the median counts.
    """
    modalities, rows = tuple(test.state.codes), min(rows, len(test.samples))
    outputs: dict[str, Sequence[Modality]] = {"all": modalities}
    outputs |= {str(m): (m,) for m in modalities}
    rates = {}
    for name, wanted in outputs.items():
        embedding, decoded = (
            _rate(_predictor(model, test, rows, wanted, decode), rows, repeats)
            for decode in (False, True)
        )
        ratio = None if embedding is None or decoded is None else embedding / decoded
        rates[name] = Rates(embedding, decoded, ratio)
    return Cost(rows, rates)


def _predictor(
    model: WorldGPT, test: EncodedSamples, rows: int, outputs: Sequence[Modality], decode: bool
) -> Callable[[], None]:
    state = {m: codes[:rows].to(model.device) for m, codes in test.state.codes.items()}
    present = {m: mask[:rows].to(model.device) for m, mask in test.state.present.items()}
    action = test.action[:rows].to(model.device)
    engine = model.imagination(len(action), temperature=0.0, inputs=tuple(state), outputs=outputs)

    def predict() -> None:
        prediction = engine.step(state, action, present=present)  # its embeddings come with it
        if decode:
            model.decode(prediction.state)
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    return predict


def _rate(predict: Callable[[], None], rows: int, repeats: int) -> float | None:
    """Return the median of predictions per CPU-second; None if there is no decoder."""
    try:
        predict()
    except MissingHeadError:
        return None
    rates = []
    for _ in range(repeats):
        watch, passes, spent = Stopwatch(), 0, 0.0
        while spent < LEAST:
            predict()
            passes, spent = passes + 1, watch.figures()["cpu_seconds"]
        rates.append(passes * rows / spent)
    return statistics.median(rates)
