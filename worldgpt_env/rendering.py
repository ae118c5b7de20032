"""Pictures of observations: image, waveform, numbers and words side by side; GIFs; a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldgpt_env.model.modalities import Modality, ModalitySpec, TextSpec, VectorSpec
from worldgpt_env.model.safe_io import atomic_file

from .errors import ConfigurationError, MissingDependencyError, WorldMismatchError

SIDE = 256  # pixels of the image and of the waveform beside it
LINE = 20  # pixels of a line of words or numbers
BAR = 90  # pixels of a bar, and of its name
NARROWEST = 560  # pixels of a status
BACKGROUND = (18, 20, 26)
PLATE = (28, 31, 40)
INK = (226, 228, 232)
FAINT = (120, 126, 138)
WAVE = ((96, 200, 170), (240, 170, 90))  # left, right


def draw_panel(
    observation: Mapping[str, np.ndarray],
    specs: Mapping[Modality, ModalitySpec],
    caption: str = "",
) -> np.ndarray:
    """Return one picture of a raw observation; its size depends on ``specs`` only.

    Args:
        observation: one raw array per key of ``specs``.
        specs: the modalities of the world.
        caption: a line above the picture, left out when empty.

    Returns:
        ``(height, width, 3)`` uint8.
    """
    raw = {Modality(key): np.asarray(value) for key, value in observation.items()}
    tiles = []
    if Modality.IMAGE in specs:
        tiles.append(_enlarge(raw[Modality.IMAGE]))
    elif Modality.VIDEO in specs:
        tiles.append(_enlarge(raw[Modality.VIDEO][-1]))
    if Modality.AUDIO in specs:
        tiles.append(_draw_waveform(raw[Modality.AUDIO]))
    lines = [caption] if caption else []
    below = _lines(raw, specs)
    width = max(SIDE, sum(tile.width for tile in tiles))
    height = LINE * (len(lines) + len(below)) + max((tile.height for tile in tiles), default=0)
    panel = Image.new("RGB", (width, height + height % 2), BACKGROUND)
    draw, left, top = ImageDraw.Draw(panel), 0, LINE * len(lines)
    for tile in tiles:
        panel.paste(tile, (left, top))
        left += tile.width
    for number, line in enumerate(lines):
        _write(draw, line, LINE * number, width, FAINT)
    for number, line in enumerate(below):
        _write(draw, line, panel.height - LINE * (len(below) - number), width, INK)
    return np.asarray(panel).copy()


def draw_status(
    picture: np.ndarray, lines: Sequence[str], bars: Mapping[str, float], scale: float = 1.0
) -> np.ndarray:
    """Return a picture enlarged, with lines of text and bars below it.

    Args:
        picture: ``(H, W, 3)`` uint8.
        lines: below the picture, each cut where it is too long; empty ones keep their place.
        bars: numbers from 0 to 1 by name, drawn beside each other; longer ones are full.
        scale: times the picture is enlarged.

    Returns:
        ``(height, width, 3)`` uint8, of a size that depends on the picture's and on ``lines``.
    """
    size = (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale)))
    width, rows = max(size[0], NARROWEST), len(lines) + 1
    status = Image.new("RGB", (width, size[1] + LINE * rows), BACKGROUND)
    shown = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
    status.paste(shown, ((width - size[0]) // 2, 0))
    draw = ImageDraw.Draw(status)
    for place, (name, value) in enumerate(bars.items()):
        left, top = 6 + place * width // max(len(bars), 1), size[1] + 4
        _write(draw, name, size[1], left + BAR, FAINT, left)
        right = left + BAR + round(BAR * min(max(value, 0.0), 1.0))
        draw.rectangle((left + BAR, top, left + 2 * BAR, top + LINE - 8), fill=PLATE)
        draw.rectangle((left + BAR, top, right, top + LINE - 8), fill=WAVE[place % 2])
    for number, line in enumerate(lines, 1):
        _write(draw, line, size[1] + LINE * number, width, INK if number < rows - 2 else FAINT)
    return np.asarray(status).copy()


def side_by_side(left: np.ndarray, right: np.ndarray, gap: int = 8) -> np.ndarray:
    """Return two panels ``(H, W, 3)`` of one height beside each other, say real and dream."""
    if left.shape[0] != right.shape[0]:
        raise WorldMismatchError(
            f"the panels are {left.shape[0]} and {right.shape[0]} pixels high; draw both with the "
            "same specs, and a caption on both or on none."
        )
    bar = np.full((left.shape[0], gap, 3), BACKGROUND, np.uint8)
    return np.concatenate([left, bar, right], axis=1)  # (H, W + gap + W, 3)


def save_gif(frames: Sequence[np.ndarray], path: str | Path, fps: float = 8.0) -> Path:
    """Write frames ``(H, W, 3)`` uint8 as an endless GIF; an old file is replaced as a whole."""
    if not len(frames):
        raise ConfigurationError("there are no frames to save; collect some with env.render().")
    path = Path(path)
    pictures = [Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames]
    with atomic_file(path) as draft:
        pictures[0].save(
            draft,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / fps),
            loop=0,
        )
    return path


def _enlarge(image: np.ndarray) -> Image.Image:
    """Return ``(H, W, 3)`` with every pixel a square, ``SIDE`` high or a little less."""
    factor = max(1, SIDE // image.shape[0])
    return Image.fromarray(image).resize(
        (image.shape[1] * factor, image.shape[0] * factor), Image.Resampling.NEAREST
    )


def _draw_waveform(sound: np.ndarray) -> Image.Image:
    """Draw ``(samples, channels)`` in [-1, 1], one strip per channel, extremes per column."""
    tile = Image.new("RGB", (SIDE, SIDE), PLATE)
    draw = ImageDraw.Draw(tile)
    strip = SIDE / sound.shape[1]
    for channel in range(sound.shape[1]):
        middle, half = strip * (channel + 0.5), strip * 0.45
        draw.line([(0, middle), (SIDE, middle)], fill=FAINT)
        edges = np.linspace(0, len(sound), SIDE + 1).astype(int)
        for column in range(SIDE):
            part = sound[max(edges[column] - 1, 0) : max(edges[column + 1], 1), channel]
            ends = [(column, middle - half * part.max()), (column, middle - half * part.min())]
            draw.line(ends, fill=WAVE[channel % 2])
    return tile


def _lines(raw: Mapping[Modality, np.ndarray], specs: Mapping[Modality, ModalitySpec]) -> list[str]:
    """Return the lines below the picture: numbers, then words."""
    lines = []
    vector, text = specs.get(Modality.VECTOR), specs.get(Modality.TEXT)
    if isinstance(vector, VectorSpec):
        pairs = zip(vector.names, raw[Modality.VECTOR].tolist(), strict=True)
        lines.append("   ".join(f"{name} {value:.4g}" for name, value in pairs))
    if isinstance(text, TextSpec):
        lines.append(text.decode(raw[Modality.TEXT]))
    return lines


def _write(
    draw: ImageDraw.ImageDraw,
    line: str,
    top: int,
    end: int,
    colour: tuple[int, int, int],
    left: int = 6,
) -> None:
    """Write a line from ``left``, cut at ``end``."""
    font, shown = ImageFont.load_default(13), line
    while line and draw.textlength(shown, font) > end - left - 6:
        line = line[:-1]
        shown = line + "…"
    draw.text((left, top + 2), shown, fill=colour, font=font)


class PygameWindow:
    """A window that shows pictures at their pace; opened by the first one."""

    def __init__(self, title: str, keep_events: bool = False) -> None:
        """Remember the title; nothing is opened yet.

        Args:
            title: of the window.
            keep_events: leave the keys that are pressed to somebody else.

        Raises:
            MissingDependencyError: pygame is not installed.
        """
        try:
            import pygame
        except ImportError as error:
            raise MissingDependencyError(
                "a window needs pygame; type: pip install pygame-ce"
            ) from error
        self._pygame, self._title, self._keep_events = pygame, title, keep_events
        self._surface: pygame.Surface | None = None
        self._clock = pygame.time.Clock()

    def show(self, picture: np.ndarray, fps: float) -> None:
        """Show ``(H, W, 3)`` uint8, then wait for the rest of the frame's time.

        Raises:
            ConfigurationError: there is no screen.
        """
        size = (picture.shape[1], picture.shape[0])
        if self._surface is None:
            try:
                self._pygame.display.init()
                self._pygame.display.set_caption(self._title)
                self._surface = self._pygame.display.set_mode(size)
            except self._pygame.error as error:
                raise ConfigurationError(
                    f"no window can be opened here: {error}. Use a machine with a screen, or "
                    "SDL_VIDEODRIVER=dummy to open none."
                ) from error
        if not self._keep_events:
            self._pygame.event.pump()
        shown = self._pygame.image.frombuffer(picture.tobytes(), size, "RGB")
        self._surface.blit(shown, (0, 0))
        self._pygame.display.flip()
        self._clock.tick(fps)

    def close(self) -> None:
        """Close the window; safe to call twice."""
        if self._surface is not None:
            self._pygame.display.quit()
            self._surface = None
