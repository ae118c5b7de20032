"""Fidelity: how near a world model comes to a recording that it has never seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, VectorSpec
from worldgpt_env.model.transitions import TransitionStore

from . import measures
from .recording import Recording
from .walk import Walk, walk_alone, walk_along

CHUNK = 256
PICTURES = (Modality.IMAGE, Modality.VIDEO)


@dataclass(frozen=True)
class Figure:
    """One line of a fidelity table; None where there was nothing to measure.

    Attributes:
        model: the world model's prediction.
        copy_last: the prediction that nothing changes.
        codec: the recorded moment itself, encoded and decoded: no dynamics can be better.
        count: moments or events that were measured.
    """

    model: float | None
    copy_last: float | None
    codec: float | None = None
    count: int | None = None


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


def evaluate_fidelity(config: FidelityConfig) -> dict[str, Any]:
    """Compare the predictions of a model with a held-out recording.

    Returns:
        ``world``, ``steps``, ``episodes``, and ``figures``: per name the fields of :class:`Figure`.

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
    data = TransitionStore.encode(model.processor, recording.episodes)
    figures = step_figures(model, recording, data, _picture_hashes(config.seen))
    for ahead, walk in walk_alone(model, data, config.horizons).items():
        figures |= open_loop_figures(model, recording, data, walk, ahead)
    return {
        "model": str(config.model),
        "world": recording.world,
        "steps": recording.steps,
        "episodes": len(recording.episodes),
        "figures": {name: asdict(figure) for name, figure in figures.items()},
    }


def step_figures(
    model: WorldGPT, recording: Recording, data: TransitionStore, seen: frozenset[bytes] | None
) -> dict[str, Figure]:
    """Return the one-step figures of every modality and signal."""
    walk = walk_along(model, data)
    figures: dict[str, Figure] = {}
    for modality in model.specs:
        moments = Moments(model, modality, recording, data, walk)
        figures |= _FIGURES_OF[modality](moments)
        if modality in PICTURES and seen is not None:
            new = np.array([_hash(picture) not in seen for picture in moments.raw[walk.target]])
            figures[f"{modality} exact, never seen"] = moments.exact(new)
    return figures | _signal_figures(data, walk)


def open_loop_figures(
    model: WorldGPT, recording: Recording, data: TransitionStore, walk: Walk, ahead: int
) -> dict[str, Figure]:
    """Return the figures of predictions ``ahead`` steps from the last real state."""
    figures: dict[str, Figure] = {}
    for modality in (*PICTURES, Modality.TEXT):
        if modality in model.specs:
            moments = Moments(model, modality, recording, data, walk)
            figures |= _FIGURES_OF[modality](moments)
    kept = (name for name in figures if "changed" not in name and "frame " not in name)
    return {f"{name} @{ahead}": figures[name] for name in kept}


class Moments:
    """One modality of a walk: the predicted, real and last moments, as codes and raw."""

    def __init__(
        self,
        model: WorldGPT,
        modality: Modality,
        recording: Recording,
        data: TransitionStore,
        walk: Walk,
    ) -> None:
        """Gather the codes; raw predictions are decoded in chunks, when they are asked for."""
        self.model, self.modality, self.walk = model, modality, walk
        self.spec = model.specs[modality]
        self.raw = np.concatenate(
            [e.observations[modality] for e in recording.episodes]
        )  # (M, ...)
        self.predicted = walk.state[modality]  # (N, C, G)
        self.real = data.state[modality][walk.target]
        self.last = data.state[modality][walk.now]

    def exact(self, among: np.ndarray | None = None) -> Figure:
        """Return the share of moments whose codes are all right."""
        right = (self.predicted == self.real).flatten(1).all(1).numpy()  # (N,)
        same = (self.last == self.real).flatten(1).all(1).numpy()
        count = len(right) if among is None else int(among.sum())
        return Figure(measures.share(right, among), measures.share(same, among), count=count)

    def cells(self) -> Figure:
        """Return the share of right cells among those that changed."""
        right, same = (
            (codes == self.real).all(-1).numpy() for codes in (self.predicted, self.last)
        )  # (N, C)
        hits, kept = measures.share(right, ~same), measures.share(same, ~same)
        return Figure(hits, kept, count=int((~same).sum()))

    def changed(self) -> np.ndarray:
        """Return where anything at all changed since the last real moment, ``(N,)`` bool."""
        chunks = [
            (self.raw[t] != self.raw[n]).reshape(len(t), -1).any(1) for t, n in self._chunks()
        ]
        return np.concatenate(chunks)

    def measure(
        self, figure: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    ) -> Measured:
        """Apply ``figure(guess, real, last)`` to what model, copy-last and codec say, in chunks.

        Of a video, the last moment is its newest frame, standing still.
        """
        parts: list[list[np.ndarray]] = [[], [], []]
        for number, (target, now) in enumerate(self._chunks()):
            here = slice(number * CHUNK, (number + 1) * CHUNK)
            real, last = self.raw[target], self.raw[now]
            if self.modality is Modality.VIDEO:
                last = np.repeat(last[:, -1:], last.shape[1], 1)  # (n, frames, H, W, 3)
            guesses = (self._decode(self.predicted[here]), last, self._decode(self.real[here]))
            for part, guess in zip(parts, guesses, strict=True):
                part.append(figure(guess, real, last))
        return Measured(*(np.concatenate(part) for part in parts))

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self.walk.now), CHUNK):
            yield self.walk.target[start : start + CHUNK], self.walk.now[start : start + CHUNK]

    def _decode(self, codes: Tensor) -> np.ndarray:
        state = {self.modality: codes.long().to(self.model.device)}
        return self.model.decode(state)[self.modality].cpu().numpy()


@dataclass(frozen=True)
class Measured:
    """A figure per moment for each of the three that guess."""

    model: np.ndarray
    copy_last: np.ndarray
    codec: np.ndarray

    def part(self, chosen: Any) -> Measured:
        """Return the figures at an index or mask ``chosen``, of each."""
        return Measured(self.model[chosen], self.copy_last[chosen], self.codec[chosen])

    def reduce(
        self, summary: Callable[[np.ndarray], float | None], count: int | None = None
    ) -> Figure:
        """Return the summary of each."""
        return Figure(
            summary(self.model),
            summary(self.copy_last),
            summary(self.codec),
            len(self.model) if count is None else count,
        )


def _picture_figures(moments: Moments) -> dict[str, Figure]:
    """Return the figures of images, or of the frames of a video."""
    video, name = moments.modality is Modality.VIDEO, str(moments.modality)
    errors = moments.measure(measures.video_errors if video else measures.image_errors)
    figures = {
        f"{name} exact": moments.exact(),
        f"{name} exact, changed": moments.exact(moments.changed()),
        f"{name} cells right, changed": moments.cells(),
        **_pixel_figures(name, errors),
    }
    for frame in range(errors.model.shape[1] if video else 0):
        figures |= _pixel_figures(f"video frame {frame + 1}", errors.part(np.s_[:, frame]))
    return figures


def _pixel_figures(name: str, errors: Measured) -> dict[str, Figure]:
    """Return the two figures of the errors ``(..., 3)`` of frames."""
    pixels = int(errors.model[..., 2].sum())
    return {
        f"{name} PSNR (dB)": errors.reduce(lambda e: measures.psnr(e[..., 0])),
        f"{name} foreground error": errors.reduce(measures.foreground_error, pixels),
    }


def _audio_figures(moments: Moments) -> dict[str, Figure]:
    level = moments.measure(lambda guess, real, last: measures.loudness(guess))
    real = measures.loudness(moments.raw[moments.walk.target])
    before = measures.loudness(moments.raw[moments.walk.now])
    loudest = max(float(real.max()), float(before.max()))
    begun = measures.onsets(real, before, loudest)
    figures = {
        "audio exact": moments.exact(),
        "audio onset F1": level.reduce(
            lambda guess: measures.f1(measures.onsets(guess, before, loudest), begun),
            int(begun.sum()),
        ),
        "audio level error (dB)": level.reduce(lambda guess: float(np.abs(guess - real).mean())),
    }
    if moments.raw.shape[-1] == 2:
        heard = real >= loudest - 30
        side = moments.measure(lambda guess, real, last: measures.balance(guess))
        truth = measures.balance(moments.raw[moments.walk.target])
        figures["audio balance error"] = side.reduce(
            lambda guess: float(np.abs(guess - truth)[heard].mean()), int(heard.sum())
        )
    return figures


def _text_figures(moments: Moments) -> dict[str, Figure]:
    right, same = (
        (c[..., 0] == moments.real[..., 0]).numpy() for c in (moments.predicted, moments.last)
    )  # (N, slots)

    def figure(among: np.ndarray) -> Figure:
        hits, kept = measures.share(right, among), measures.share(same, among)
        return Figure(hits, kept, count=int(among.sum()))

    return {"words right": figure(np.ones_like(same)), "words right, changed": figure(~same)}


def _vector_figures(moments: Moments) -> dict[str, Figure]:
    assert isinstance(moments.spec, VectorSpec)
    span = np.subtract(moments.spec.high, moments.spec.low)
    errors = moments.measure(lambda guess, real, last: np.abs(guess - real) / span)  # (N, n)
    moved = moments.raw[moments.walk.target] != moments.raw[moments.walk.now]
    figures = {"numbers exact": moments.exact()}
    for number, name in enumerate(moments.spec.names):
        among = moved[:, number]
        if among.any():
            moving = errors.part((among, number))
            figures[f"number {name}, changed: error"] = moving.reduce(lambda e: float(e.mean()))
    return figures


def _signal_figures(data: TransitionStore, walk: Walk) -> dict[str, Figure]:
    """Return the figures of reward, end and uncertainty."""
    reward, ended = data.reward.numpy()[walk.now], data.terminated.numpy()[walk.now] > 0
    first = np.isin(walk.now, data.first)
    last = np.where(first, np.median(reward), np.roll(reward, 1))
    wrong = np.zeros(len(reward), bool)
    for modality, codes in walk.state.items():
        real = data.state[modality][walk.target]
        wrong |= (codes != real).flatten(1).any(1).numpy()
    never = np.zeros_like(ended)
    said, repeated = (measures.reward_score(r, reward) for r in (walk.reward, last))
    return {
        "reward F1": Figure(said.f1, repeated.f1, count=said.events),
        "reward error": Figure(
            float(np.abs(walk.reward - reward).mean()), float(np.abs(last - reward).mean())
        ),
        "end F1": Figure(
            measures.f1(walk.termination > 0.5, ended),
            measures.f1(never, ended),
            count=int(ended.sum()),
        ),
        "uncertainty ranks errors": Figure(
            measures.ranking(walk.uncertainty, wrong), None, count=int(wrong.sum())
        ),
    }


_FIGURES_OF: dict[Modality, Callable[[Moments], dict[str, Figure]]] = {
    Modality.IMAGE: _picture_figures,
    Modality.VIDEO: _picture_figures,
    Modality.AUDIO: _audio_figures,
    Modality.TEXT: _text_figures,
    Modality.VECTOR: _vector_figures,
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
