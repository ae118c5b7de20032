"""The frames between two decisions to a grid of cells of FSQ digits, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..modalities import Modality, VideoSpec
from .cells import VISIBLE, CellCodec, CellCodecConfig, mean_among


@dataclass(frozen=True)
class VideoCodecConfig(CellCodecConfig):
    """Sizes, loss and training budget of the video codec, see :class:`CellCodecConfig`."""

    digits: int = 12


class VideoCodec(CellCodec):
    """Codes clips of any size in multiples of 16 pixels: one cell lasts through all frames.

    The encoder sees the newest frame, and how each earlier one differs from it.
    """

    modality = Modality.VIDEO
    spec: VideoSpec

    def __init__(self, spec: VideoSpec, config: VideoCodecConfig | None = None) -> None:
        """Make one cell per 16 x 16 pixels of ``spec``."""
        super().__init__(spec, config or VideoCodecConfig(), frames=spec.frames)

    def _view(self, cells: Tensor) -> Tensor:
        """Return cells ``(B, C, P)`` with every frame but the newest less the newest."""
        frames = cells.unflatten(2, (self.frames, -1))  # (B, C, frames, 768)
        newest = frames[:, :, -1:]
        return torch.cat([frames[:, :, :-1] - newest, newest], 2).flatten(2)

    def errors(self, raw: Tensor, drawn: Tensor) -> dict[str, float]:
        """Add the errors of pixels that change within a clip, beside those of its newest frame.

        ``motion_error`` is the mean squared error, of 1, of all frames at those pixels, and
        ``motion_error_of_still`` that of a clip which shows its newest frame all the time.
        """
        clip, guess = raw.float() / 255, drawn.float() / 255  # (B, frames, H, W, 3)
        moving = (clip.amax(1) - clip.amin(1)).amax(-1, keepdim=True) > VISIBLE  # (B, H, W, 1)
        moving = moving[:, None].expand_as(clip)
        return super().errors(raw, drawn) | {
            "motion_error": mean_among((guess - clip).square(), moving),
            "motion_error_of_still": mean_among((clip[:, -1:] - clip).square(), moving),
        }
