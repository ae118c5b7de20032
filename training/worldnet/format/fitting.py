"""Fits one state's media, words and numbers to the specs of a recording; counts what it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import (
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

from .annotation import StateFiles
from .decode import Sound, Video, decode_audio, decode_image, decode_video
from .folder import WorldNetFolder
from .gate import LIMITS, MediaError, MediaLimits
from .media import FORMATS
from .sound import resample, to_mono


@dataclass
class Fitter:
    """Reads states of one folder into arrays of fixed shapes.

    Images and frames are resized as a whole (not cropped). Of a clip, the last frame of each of
    ``frames`` equal parts is kept. Sound becomes mono or stereo, is resampled, and its last
    ``samples`` are kept; silence goes in front of a shorter one. Words that the vocabulary lacks
    become ``<unknown>``. ``changes`` counts all of this.

    Attributes:
        folder: what the files are read through.
        specs: the modalities to read, and their shapes.
        limits: of each file.
        changes: how often each kind of change was made.
    """

    folder: WorldNetFolder
    specs: Mapping[Modality, ModalitySpec]
    limits: MediaLimits = LIMITS
    changes: Counter[str] = field(default_factory=Counter)

    def fit(self, state: StateFiles) -> dict[Modality, np.ndarray]:
        """Return the modalities of ``state`` that are there, each of the shape of its spec.

        Raises:
            MediaError: a file is damaged, missing, or not where it may be.
            ConfigurationError: words or numbers do not fit.
        """
        return {
            modality: self._part(state, modality, spec)
            for modality, spec in self.specs.items()
            if getattr(state, str(modality))
        }

    def _part(self, state: StateFiles, modality: Modality, spec: ModalitySpec) -> np.ndarray:
        """Return one modality of ``state``."""
        match spec:
            case ImageSpec():
                data = self._read("image", state.image)
                return self._resize(decode_image(state.image, data, self.limits), spec, "images")
            case VideoSpec():
                data = self._read("video", state.video)
                clip = decode_video(state.video, data, spec.frames, self.limits)
                return self._video(clip, spec)
            case AudioSpec():
                data = self._read("audio", state.audio)
                return self._sound(
                    state.audio, decode_audio(state.audio, data, None, self.limits), spec
                )
            case TextSpec():
                return encode_words(state.text, spec, "texts", self.changes)
            case VectorSpec():
                return self._vector(state.vector, spec)

    def _read(self, kind: str, name: str) -> bytes:
        """Return the bytes of a file that has the ending of its ``kind``."""
        if PurePosixPath(name).suffix.lower() not in FORMATS[kind]:
            raise MediaError(name, f"is no {kind}: those end with {', '.join(FORMATS[kind])}.")
        return self.folder.read(name, self.limits)

    def _resize(
        self, pixels: np.ndarray, spec: ImageSpec | VideoSpec, what: str
    ) -> np.ndarray:  # (H, W, 3)
        """Return an image of the size of ``spec``; pixels that it loses are averaged."""
        if pixels.shape[:2] == (spec.height, spec.width):
            return pixels
        self.changes[f"{what} resized"] += 1
        smaller = pixels.shape[0] >= spec.height and pixels.shape[1] >= spec.width
        kind = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
        return np.array(Image.fromarray(pixels).resize((spec.width, spec.height), kind))

    def _video(self, clip: Video, spec: VideoSpec) -> np.ndarray:
        """Return ``(frames, H, W, 3)`` uint8."""
        if clip.total > spec.frames:
            self.changes["videos thinned out"] += 1
        if clip.total < spec.frames:
            self.changes["videos with repeated frames"] += 1
        return np.stack([self._resize(frame, spec, "frames") for frame in clip.frames])

    def _sound(self, name: str, sound: Sound, spec: AudioSpec) -> np.ndarray:
        """Return ``(samples, channels)`` float32."""
        samples = sound.samples
        if samples.shape[1] != spec.channels:
            if spec.channels > 2 or (spec.channels == 2 and samples.shape[1] > 2):
                raise MediaError(
                    name, f"has {samples.shape[1]} channels and {spec.channels} are wanted."
                )
            self.changes["sounds made mono" if spec.channels == 1 else "sounds made stereo"] += 1
            samples = to_mono(samples) if spec.channels == 1 else np.repeat(samples, 2, 1)
        if sound.rate != spec.rate:
            self.changes["sounds resampled"] += 1
            samples = resample(samples, sound.rate, spec.rate)
        if len(samples) > spec.samples:
            self.changes["sounds cut to their end"] += 1
        if len(samples) < spec.samples:
            self.changes["sounds with silence in front"] += 1
            samples = np.pad(samples, ((spec.samples - len(samples), 0), (0, 0)))
        return samples[len(samples) - spec.samples :]

    def _vector(self, numbers: tuple[float, ...], spec: VectorSpec) -> np.ndarray:
        """Return the numbers that ``spec`` names, ``(len(names),)`` float32."""
        own = (
            self.folder.description.specs.get(Modality.VECTOR) if self.folder.description else spec
        )
        names = own.names if isinstance(own, VectorSpec) else ()
        if len(numbers) != len(names):
            raise ConfigurationError(
                f"a state has {len(numbers)} numbers and the WorldNet names {len(names)}"
            )
        if names == spec.names:
            return np.array(numbers, np.float32)
        missing = sorted(set(spec.names) - set(names))
        if missing:
            raise ConfigurationError(f"the states have no numbers {missing}, only {list(names)}")
        return np.array([numbers[names.index(name)] for name in spec.names], np.float32)


def encode_words(words: str, spec: TextSpec, what: str, changes: Counter[str]) -> np.ndarray:
    """Return the ids of ``words``, ``(slots,)`` int64; counts those that the vocabulary lacks.

    Raises:
        ConfigurationError: there are more words than slots.
    """
    ids = spec.encode(words)
    if (ids == 1).any():
        changes[f"{what} with unknown words"] += 1
    return ids
