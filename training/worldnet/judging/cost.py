"""Cost: predictions per CPU-second, as embeddings alone and with their observations decoded."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from worldgpt_env.model.errors import MissingHeadError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.worldgpt import WorldGPT

from ...stopwatch import Stopwatch
from .samples import EncodedSamples

LEAST = 0.3  # CPU-seconds of one measurement: the clock counts hundredths


def measure_cost(
    model: WorldGPT, test: EncodedSamples, rows: int = 64, repeats: int = 3
) -> dict[str, Any]:
    """Measure how much a prediction costs with and without decoding it.

    All judged modalities are read, and all of them predicted; then each alone is predicted.

    Args:
        model: the world model.
        test: held-out transitions; the first ``rows`` are predicted, missing modalities or not.
        rows: predicted in one pass.
        repeats: measurements, of which the median counts.

    Returns:
        Per output (``"all"`` and every modality) ``embedding`` and ``decoded`` predictions per
        CPU-second and their ``ratio``; ``decoded`` and ``ratio`` are None without a decoder.
    """
    modalities = tuple(test.before.state)
    wanted: dict[str, Sequence[Modality]] = {"all": modalities}
    wanted |= {str(m): (m,) for m in modalities}
    figures: dict[str, Any] = {"rows": min(rows, len(test.samples))}
    for name, outputs in wanted.items():
        embedding, decoded = (
            _rate(_predictor(model, test, rows, outputs, decode), figures["rows"], repeats)
            for decode in (False, True)
        )
        ratio = None if embedding is None or decoded is None else embedding / decoded
        figures[name] = {"embedding": embedding, "decoded": decoded, "ratio": ratio}
    return figures


def _predictor(
    model: WorldGPT, test: EncodedSamples, rows: int, outputs: Sequence[Modality], decode: bool
) -> Callable[[], None]:
    state = {m: codes[:rows].to(model.device) for m, codes in test.before.state.items()}
    present = {m: there[:rows].to(model.device) for m, there in test.before.there.items()}
    action = test.action[:rows].to(model.device)
    engine = model.imagination(len(action), temperature=0.0, inputs=tuple(state), outputs=outputs)

    def predict() -> None:
        said = engine.step(state, action, present=present)  # its embeddings are part of the step
        if decode:
            model.decode(said.state)
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
