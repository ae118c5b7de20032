"""Sheet: transitions as a picture, a row each: before, what happened, after, how it sounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import AudioSpec, Modality
from worldgpt_env.model.safe_io import atomic_file

from ...balanced import balanced_rows
from .annotation import StateFiles, WorldNetError, WorldNetTransition
from .bare import describe
from .fitting import Fitter
from .folder import WorldNetFolder
from .gate import MediaError

CELL = 144  # pixels of an image and of a spectrum
WORDS = 264  # pixels of the column of words
GAP = 8
BACKGROUND, PLATE = (18, 20, 26), (28, 31, 40)
INK, FAINT, ACTION, WRONG = (226, 228, 232), (120, 126, 138), (240, 170, 90), (230, 90, 80)
QUIETEST = -70.0  # decibels below full scale, black in a spectrum


def draw_sheet(root: str | Path, path: Path, split: str, rows: int, seed: int) -> None:
    """Draw transitions of ``split``, spread over the scenarios, as a png at ``path``.

    Raises:
        WorldNetError: there is nothing to draw.
        ConfigurationError: ``path`` does not end with .png.
    """
    if path.suffix != ".png":
        raise ConfigurationError(f"the sheet {path} is no .png; name it so.")
    folder = WorldNetFolder.open(root)
    description = folder.description or describe(folder)
    chosen = _choose(folder.annotations(split).transitions, rows, seed)
    if not chosen:
        raise WorldNetError(f"the split {split!r} of {folder.root} holds no row to draw.")
    fitter = Fitter(folder, description.specs)
    width = 2 * CELL + WORDS + 2 * CELL + 6 * GAP
    sheet = Image.new("RGB", (width, len(chosen) * (CELL + GAP) + GAP), BACKGROUND)
    for number, transition in enumerate(chosen):
        _draw_row(sheet, GAP + number * (CELL + GAP), transition, fitter)
    with atomic_file(path) as draft:
        sheet.save(draft, "PNG")


def draw_spectrum(sound: np.ndarray, rate: int) -> np.ndarray:
    """Return the loudness of ``(samples, channels)`` by time and pitch, ``(CELL, CELL, 3)`` uint8.

    Time runs to the right over all samples; pitch rises from 0 to half of ``rate``.
    """
    mono = sound.mean(1)
    size = max(16, min(256, len(mono) // 8 * 2))
    starts = np.linspace(0, max(len(mono) - size, 0), CELL).astype(int)
    mono = np.pad(mono, (0, max(size - len(mono), 0)))
    window = np.hanning(size)
    cuts = np.stack([mono[start : start + size] for start in starts])  # (CELL, size)
    power = np.abs(np.fft.rfft(cuts * window)) / (window.sum() / 2)  # (CELL, size // 2 + 1)
    level = (20 * np.log10(power + 1e-9) - QUIETEST) / -QUIETEST  # 0 quietest, 1 full scale
    rows = np.linspace(power.shape[1] - 1, 0, CELL).astype(int)
    level = np.clip(level.T[rows], 0, 1)[..., None]  # (CELL, CELL, 1)
    low, high = np.array(PLATE), np.array((255, 214, 140))
    return (low + (high - low) * level).astype(np.uint8)


def _choose(rows: list[WorldNetTransition], count: int, seed: int) -> list[WorldNetTransition]:
    """Return at most ``count`` rows by scenario, evenly over the scenarios."""
    chosen = balanced_rows([row.scenario for row in rows], count, seed)
    return sorted((rows[number] for number in chosen), key=lambda row: row.scenario)


def _draw_row(sheet: Image.Image, top: int, transition: WorldNetTransition, fitter: Fitter) -> None:
    """Draw one transition."""
    draw = ImageDraw.Draw(sheet)
    left = GAP
    sides = []
    for state in (transition.state0, transition.state1):
        try:
            sides.append(fitter.fit(state))
        except (MediaError, ConfigurationError) as error:
            sides.append({})
            _write(draw, (left, top + CELL - 34), str(error), CELL * 4, WRONG)
    spots = (left, left + CELL + WORDS + 2 * GAP)
    for spot, parts in zip(spots, sides, strict=True):
        sheet.paste(_see(parts), (spot, top))
    _draw_words(draw, left + CELL + GAP, top, transition)
    spec = fitter.specs.get(Modality.AUDIO)
    for number, parts in enumerate(sides):
        tile = Image.new("RGB", (CELL, CELL), BACKGROUND)
        if Modality.AUDIO in parts and isinstance(spec, AudioSpec):
            tile = Image.fromarray(draw_spectrum(parts[Modality.AUDIO], spec.rate))
        sheet.paste(tile, (spots[1] + (number + 1) * (CELL + GAP), top))


def _see(parts: Mapping[Modality, np.ndarray]) -> Image.Image:
    """Return the image of a state, or the last frame of its video, or an empty plate."""
    pixels = parts.get(Modality.IMAGE)
    if pixels is None and Modality.VIDEO in parts:
        pixels = parts[Modality.VIDEO][-1]
    if pixels is None:
        return Image.new("RGB", (CELL, CELL), PLATE)
    return Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.NEAREST)


def _draw_words(
    draw: ImageDraw.ImageDraw, left: int, top: int, transition: WorldNetTransition
) -> None:
    """Write what is said about a transition between its two images."""
    told = [transition.scenario, f"episode {transition.episode}, step {transition.step}"]
    top = _write(draw, (left, top), ": ".join(part for part in told if part), WORDS, FAINT)
    top = _write(draw, (left, top), _about(transition.state0), WORDS, INK)
    top = _write(draw, (left, top + 4), f"> {transition.action}", WORDS, ACTION)
    end = ", the end" if transition.terminated else ""
    reward = f"reward {transition.reward:g}{end}" if transition.reward or end else ""
    top = _write(draw, (left, top), reward, WORDS, ACTION)
    _write(draw, (left, top + 4), _about(transition.state1), WORDS, INK)


def _about(state: StateFiles) -> str:
    """Return the words and numbers of a state."""
    numbers = f"({', '.join(f'{value:.3g}' for value in state.vector)})" if state.vector else ""
    return f"{state.text} {numbers}".strip()


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    colour: tuple[int, int, int],
) -> int:
    """Write ``text`` broken into lines of ``width`` pixels; return where the next line begins."""
    font, line, top = ImageFont.load_default(12), "", place[1]
    for word in [*text.split(), ""]:
        longer = f"{line} {word}".strip()
        if line and (not word or draw.textlength(longer, font) > width):
            draw.text((place[0], top), line, fill=colour, font=font)
            top, longer = top + 15, word
        line = longer
    return top
