"""Fidelity: how near a world model comes to a recording that it has never seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, VectorSpec
from worldgpt_env.model.transitions import TransitionStore

from ..encoding import encode_recording
from ..recording import Recording
from ..results_io import Figures, Result, to_json
from ..tables import markdown_table, number
from . import metrics
from .observations import Compared, ObservationScorer, Score
from .open_loop import Predictions, predict_open_loop, predict_steps

PICTURES = (Modality.IMAGE, Modality.VIDEO)


@dataclass(frozen=True)
class FidelityConfig:
    """What ``worldgpt evaluate --model`` does.

    Attributes:
        model: name of an embedded world, or folder of a model.
        data: recordings that the model was not trained on.
        seen: the recordings it was trained on, to tell frames that it has never seen.
        horizons: steps ahead of the open-loop figures.
        device: where the model computes.
    """

    model: str
    data: tuple[Path, ...]
    seen: tuple[Path, ...] = ()
    horizons: tuple[int, ...] = (1, 5, 15, 50)
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        if not self.data:
            raise ConfigurationError("no recording was given; add --data DIR.")
        if not self.horizons or min(self.horizons) < 1:
            raise ConfigurationError(f"horizons are {self.horizons}; give whole numbers from 1.")


@dataclass(frozen=True)
class FidelityResult(Result):
    """MetricValues by name; ``@h`` in a name: ``h`` steps in open loop from one real state."""

    model: str
    world: str
    steps: int
    episodes: int
    figures: dict[str, Score]

    def to_json(self) -> Figures:
        """Return each score as ``model``, ``copy_last``, ``codec`` and ``count``."""
        scores = {
            name: {"model": x.model, "copy_last": x.copy, "codec": x.codec, "count": x.rows}
            for name, x in self.figures.items()
        }
        return super().to_json() | {"figures": to_json(scores)}

    def table(self) -> str:
        """Return a line per score, under a line that says what was measured."""
        rows = [
            [name, *(number(value) for value in (x.model, x.copy, x.codec, x.rows))]
            for name, x in self.figures.items()
        ]
        table = markdown_table(["figure", "model", "copy last", "codec alone", "n"], rows)
        return (
            f"{self.model} on {self.steps} held-out steps of {self.world} "
            f"({self.episodes} episodes); @h: h steps by itself from one real state\n\n{table}"
        )


def evaluate_fidelity(config: FidelityConfig) -> FidelityResult:
    """Compare the predictions of a model with a held-out recording.

    Raises:
        ConfigurationError: the recording is of another world than the model.
    """
    model = WorldGPT.from_pretrained(config.model, config.device)
    recording = Recording.load(list(config.data))
    if recording.specs != model.specs or recording.action_spec != model.action_spec:
        raise ConfigurationError(
            f"the recording is of {recording.world!r} and the model {config.model} of "
            f"{model.config.world!r} (or of other options); record that world: worldgpt collect"
        )
    data = encode_recording(model.processor, recording)
    scores = step_scores(model, recording, data, _picture_hashes(config.seen))
    for ahead, predictions in predict_open_loop(model, data, config.horizons).items():
        scores |= open_loop_scores(model, recording, data, predictions, ahead)
    episodes = len(recording.episodes)
    return FidelityResult(str(config.model), recording.world, recording.steps, episodes, scores)


def step_scores(
    model: WorldGPT, recording: Recording, data: TransitionStore, seen: frozenset[bytes] | None
) -> dict[str, Score]:
    """Return the one-step scores of every modality and signal."""
    predictions = predict_steps(model, data)
    scores: dict[str, Score] = {}
    for modality in model.specs:
        pairs = Pairs(model, modality, recording, data, predictions)
        scores |= _SCORES_OF[modality](pairs)
        if modality in PICTURES and seen is not None:
            pictures = pairs.observations[predictions.next_state]
            never = np.array([_hash(picture) not in seen for picture in pictures])
            scores[f"{modality} exact, never seen"] = pairs.exact(never)
    return scores | _signal_scores(data, predictions)


def open_loop_scores(
    model: WorldGPT,
    recording: Recording,
    data: TransitionStore,
    predictions: Predictions,
    ahead: int,
) -> dict[str, Score]:
    """Return the scores of predictions ``ahead`` steps from the last real state."""
    scores: dict[str, Score] = {}
    for modality in (*PICTURES, Modality.TEXT):
        if modality in model.specs:
            scores |= _SCORES_OF[modality](Pairs(model, modality, recording, data, predictions))
    kept = (name for name in scores if "changed" not in name and "frame " not in name)
    return {f"{name} @{ahead}": scores[name] for name in kept}


class Pairs:
    """One modality of ``N`` pairs of state and next state: recorded, and as they were predicted."""

    def __init__(
        self,
        model: WorldGPT,
        modality: Modality,
        recording: Recording,
        data: TransitionStore,
        predictions: Predictions,
    ) -> None:
        """Compare the codes; nothing is decoded before :meth:`compare`."""
        self.model, self.modality, self.spec = model, modality, model.specs[modality]
        self.predictions = predictions
        self.observations = np.concatenate([e.observations[modality] for e in recording.episodes])
        self.codes = data.state[modality][predictions.next_state]  # (N, C, G)
        state = data.state[modality][predictions.state]
        self.right = (predictions.codes[modality] == self.codes).numpy()  # (N, C, G)
        self.same = (state == self.codes).numpy()

    def exact(self, among: np.ndarray | None = None) -> Score:
        """Return the share of pairs whose codes are all right."""
        return _shares(np.all(self.right, (1, 2)), np.all(self.same, (1, 2)), among)

    def changed(self) -> np.ndarray:
        """Return which next states differ from their states in anything at all, ``(N,)`` bool."""
        rows = zip(self.predictions.state, self.predictions.next_state, strict=True)
        return np.array([(self.observations[a] != self.observations[b]).any() for a, b in rows])

    def compare(self, function: metrics.ObservationMetrics) -> dict[str, Compared[np.ndarray]]:
        """Return metrics of observations; who copies a video lets its last frame stand still."""
        rows = self.predictions
        scorer = ObservationScorer(
            self.model, self.modality, self.observations, rows.state, rows.next_state, self.codes,
            function, still=True,
        )  # fmt: skip
        return scorer.compare(rows.codes[self.modality])


def _shares(right: np.ndarray, same: np.ndarray, among: np.ndarray | None = None) -> Score:
    """Return how much of ``among`` is right, predicted and copied."""
    rows = right.size if among is None else int(among.sum())
    return Score(metrics.share(right, among), metrics.share(same, among), rows=rows)


def _picture_scores(pairs: Pairs) -> dict[str, Score]:
    """Return the scores of images, or of the frames of a video."""
    name, right, same = str(pairs.modality), np.all(pairs.right, -1), np.all(pairs.same, -1)
    errors = pairs.compare(lambda *pictures: {"errors": metrics.frame_errors(*pictures)})["errors"]
    scores = {
        f"{name} exact": pairs.exact(),
        f"{name} exact, changed": pairs.exact(pairs.changed()),
        f"{name} cells right, changed": _shares(right, same, ~same),
        **_pixel_scores(name, errors),
    }
    video = pairs.modality is Modality.VIDEO
    for frame in range(errors.model.shape[1] if video else 0):
        own = errors.map(itemgetter(np.s_[:, frame]))
        scores |= _pixel_scores(f"video frame {frame + 1}", own)
    return scores


def _pixel_scores(name: str, errors: Compared[np.ndarray]) -> dict[str, Score]:
    """Return the two scores of the errors ``(..., 3)`` of frames."""
    rows, pixels = len(errors.model), int(errors.model[..., 2].sum())
    psnr = errors.reduce(lambda values: metrics.psnr(float(values[..., 0].mean())), rows)
    foreground = errors.reduce(metrics.foreground_error, pixels)
    return {f"{name} PSNR (dB)": psnr, f"{name} foreground error": foreground}


def _audio_scores(pairs: Pairs) -> dict[str, Score]:
    stereo = pairs.observations.shape[-1] == 2

    def heard(prediction: np.ndarray, *_: np.ndarray) -> metrics.MetricValues:
        level = {"level": metrics.loudness(prediction)}
        return level | {"balance": metrics.balance(prediction)} if stereo else level

    found, rows = pairs.compare(heard), pairs.predictions
    real, previous = (
        metrics.loudness(pairs.observations[steps]) for steps in (rows.next_state, rows.state)
    )
    loudest = max(float(real.max()), float(previous.max()))
    begun = metrics.onsets(real, previous, loudest)
    scores = {
        "audio exact": pairs.exact(),
        "audio onset F1": found["level"].reduce(
            lambda level: metrics.f1(metrics.onsets(level, previous, loudest), begun),
            int(begun.sum()),
        ),
        "audio level error (dB)": found["level"].reduce(
            lambda level: float(np.abs(level - real).mean()), len(real)
        ),
    }
    if stereo:
        loud = real >= loudest - 30
        truth = metrics.balance(pairs.observations[rows.next_state])
        scores["audio balance error"] = found["balance"].reduce(
            lambda balance: float(np.abs(balance - truth)[loud].mean()), int(loud.sum())
        )
    return scores


def _text_scores(pairs: Pairs) -> dict[str, Score]:
    right, same = pairs.right[..., 0], pairs.same[..., 0]  # (N, slots)
    return {
        "words right": _shares(right, same),
        "words right, changed": _shares(right, same, ~same),
    }


def _vector_scores(pairs: Pairs) -> dict[str, Score]:
    assert isinstance(pairs.spec, VectorSpec)
    span, rows = np.subtract(pairs.spec.high, pairs.spec.low), pairs.predictions
    errors = pairs.compare(lambda guess, real, _: {"error": np.abs(guess - real) / span})["error"]
    moved = pairs.observations[rows.next_state] != pairs.observations[rows.state]  # (N, n)
    scores = {"numbers exact": pairs.exact()}
    for place, name in enumerate(pairs.spec.names):
        among = moved[:, place]
        if among.any():
            own = errors.map(itemgetter((among, place)))
            score = own.reduce(lambda error: float(error.mean()), int(among.sum()))
            scores[f"number {name}, changed: error"] = score
    return scores


def _signal_scores(data: TransitionStore, predictions: Predictions) -> dict[str, Score]:
    """Return the scores of reward, end and uncertainty."""
    steps = predictions.state
    reward, ended = data.reward.numpy()[steps], data.terminated.numpy()[steps] > 0
    copied = np.where(np.isin(steps, data.first), np.median(reward), np.roll(reward, 1))
    wrong = np.zeros(len(reward), bool)
    for modality, codes in predictions.codes.items():
        real = data.state[modality][predictions.next_state]
        wrong |= (codes != real).flatten(1).any(1).numpy()
    guess, same = (metrics.reward_score(r, reward) for r in (predictions.reward, copied))
    errors = [float(np.abs(r - reward).mean()) for r in (predictions.reward, copied)]
    ends = metrics.f1(predictions.termination > 0.5, ended)
    never = metrics.f1(np.zeros_like(ended), ended)
    ranked = metrics.ranking(predictions.uncertainty, wrong)
    return {
        "reward F1": Score(guess.f1, same.f1, rows=guess.events),
        "reward error": Score(errors[0], errors[1]),
        "end F1": Score(ends, never, rows=int(ended.sum())),
        "uncertainty ranks errors": Score(ranked, None, rows=int(wrong.sum())),
    }


_SCORES_OF: dict[Modality, Callable[[Pairs], dict[str, Score]]] = {
    Modality.IMAGE: _picture_scores,
    Modality.VIDEO: _picture_scores,
    Modality.AUDIO: _audio_scores,
    Modality.TEXT: _text_scores,
    Modality.VECTOR: _vector_scores,
}


def _picture_hashes(recordings: tuple[Path, ...]) -> frozenset[bytes] | None:
    """Return the hashes of all images and videos of ``recordings``, None if none is given."""
    if not recordings:
        return None
    episodes = Recording.load(list(recordings)).episodes
    pictures = (p for e in episodes for m in PICTURES for p in e.observations.get(m, ()))
    return frozenset(_hash(picture) for picture in pictures)


def _hash(picture: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=12).digest()
