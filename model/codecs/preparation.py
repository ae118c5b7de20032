"""What encoders are fed with: pictures resized and normalised, sounds resampled, log-mel images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigurationError

RESAMPLE = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
"""The numbers of Pillow's filters, as they stand in preprocessor_config.json."""


@dataclass(frozen=True)
class Picture:
    """How pictures are prepared: resize, cut out the middle, normalise.

    Attributes:
        resize: ``(height, width)``, or ``(edge,)`` for the shorter edge; empty for none.
        crop: ``(height, width)`` cut out of the middle; empty for none.
        mean: of each colour, in [0, 1].
        std: of each colour.
        filter: of torch's interpolation.
        antialias: low-pass before shrinking, as Pillow does.
    """

    resize: tuple[int, ...]
    crop: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    filter: str = "bicubic"
    antialias: bool = True

    def __post_init__(self) -> None:
        """Turn the lists of JSON into tuples."""
        for name in ("resize", "crop", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Picture:
        """Read a ``preprocessor_config.json`` of transformers."""
        number = int(settings.get("resample", 3))
        scaled = settings.get("do_rescale", True) and settings.get("do_normalize", True)
        if number not in RESAMPLE or not scaled:
            raise ConfigurationError(
                f"pictures are prepared with resample={number}, do_rescale and do_normalize "
                f"{scaled}; known are the filters {sorted(RESAMPLE)}, rescaled and normalised."
            )
        resize = _size(settings.get("size")) if settings.get("do_resize", True) else ()
        crop = _size(settings.get("crop_size")) if settings.get("do_center_crop") else ()
        mean, std = settings["image_mean"], settings["image_std"]
        crop = crop * 2 if len(crop) == 1 else crop
        return cls(resize, crop, tuple(mean), tuple(std), RESAMPLE[number])

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return ``(B, 3, height, width)`` float32 of pictures ``(B, H, W, 3)`` uint8."""
        x = pictures.permute(0, 3, 1, 2).float()  # (B, 3, H, W)
        x = self._crop(self._resize(x))
        mean, std = x.new_tensor(self.mean), x.new_tensor(self.std)
        return (x / 255 - mean[:, None, None]) / std[:, None, None]

    def _resize(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        target = self.resize
        if len(target) == 1:
            edge, short = target[0], min(height, width)
            target = (int(height * edge / short), int(width * edge / short))
        if not target or target == (height, width):
            return x
        if not self.antialias or self.filter == "nearest-exact":
            return torch.nn.functional.interpolate(x, target, mode=self.filter)
        for shape in ((height, target[1]), target):  # width, then height, whole levels: as Pillow
            x = torch.nn.functional.interpolate(x, shape, mode=self.filter, antialias=True)
            x = x.clamp(0, 255).round()
        return x

    def _crop(self, x: Tensor) -> Tensor:
        if not self.crop:
            return x
        (height, width), (inner, across) = x.shape[-2:], self.crop
        if inner > height or across > width:
            raise ConfigurationError(
                f"pictures of {height}x{width} after resizing cannot be cropped to {self.crop}."
            )
        top, left = (height - inner) // 2, (width - across) // 2
        return x[..., top : top + inner, left : left + across]


def _size(size: Any) -> tuple[int, ...]:
    if isinstance(size, int):
        return (size,)
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return (int(size["height"]), int(size["width"]))
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return (int(size["shortest_edge"]),)
    raise ConfigurationError(
        f"the size {size!r} is not understood; known are a number, height and width, shortest_edge."
    )


def sample_frames(video: Tensor, count: int) -> Tensor:
    """Return ``count`` frames at even distances of videos ``(B, T, ...)``, first and last kept."""
    frames = video.shape[1]
    if count == frames:
        return video
    return video[:, torch.linspace(0, frames - 1, count, device=video.device).long()]


def resample(sound: Tensor, rate: int, target: int, width: int = 6) -> Tensor:
    """Return sounds ``(B, S)`` at ``target`` samples a second, ``(B, ceil(S target / rate))``.

    A windowed sinc of ``width`` zero crossings a side, with its pass band ending just below half of
    the lower rate.
    """
    if rate == target:
        return sound
    common = math.gcd(rate, target)
    old, new = rate // common, target // common
    cutoff = min(old, new) * 0.99
    reach = math.ceil(width * old / cutoff)
    places = torch.arange(-reach, reach + old, dtype=torch.float64) / old  # one period and a margin
    offsets = torch.arange(new, dtype=torch.float64) / new
    time = (places - offsets[:, None]) * cutoff  # (new, taps)
    window = torch.cos(time.clamp(-width, width) * math.pi / width / 2).square()
    kernel = torch.sinc(time) * window * cutoff / old
    kernel = kernel[:, None].to(sound)  # (new, 1, taps)
    padded = torch.nn.functional.pad(sound[:, None], (reach, reach + old))
    parts = torch.nn.functional.conv1d(padded, kernel, stride=old)  # (B, new, blocks)
    return parts.transpose(1, 2).flatten(1)[:, : math.ceil(sound.shape[1] * target / rate)]


def filter_bank(rate: int, bands: int) -> Tensor:
    """Return Kaldi's triangular mel filters over 257 frequencies, ``(257, bands)`` float32."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=bands,
        min_frequency=20,
        max_frequency=rate / 2,
        sampling_rate=rate,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return torch.from_numpy(filters).float()


def log_mel(sound: Tensor, filters: Tensor, rate: int) -> Tensor:
    """Return Kaldi's log-mel features ``(B, T, bands)`` of sounds ``(B, S)``.

    Windows of 25 ms every 10 ms, without dither: mean removed, pre-emphasis .97, Hann window, power
    spectrum. 257 frequencies hold windows of up to 512 samples, so rates up to 20 480.
    """
    length, hop = rate * 25 // 1000, rate // 100
    frames = sound.unfold(1, length, hop)  # (B, T, length)
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
    window = torch.hann_window(length, periodic=False, device=sound.device)
    power = torch.fft.rfft((frames - 0.97 * before) * window, n=512).abs().square()
    return (power @ filters).clamp(min=torch.finfo(torch.float32).eps).log()  # (B, T, bands)
