"""Models of one recipe, which differ in their seeds: what they share and can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.curriculum import Combination, combinations
from worldgpt_env.model.errors import ConfigurationError, MissingModalityError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.safe_json import Fields, read_json

PERCEIVED = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)
PAPER = (
    "image>image", "video>video", "audio>audio", "image+audio>video", "video+audio>image",
    "image>video+audio", "video>image+audio", "image+video+audio>image+video+audio",
)  # fmt: skip


def open_models(names: Sequence[str], device: str) -> list[WorldGPT]:
    """Open models of one recipe.

    Raises:
        ConfigurationError: they differ in more than their weights: a mean over them would say
            nothing.
    """
    models = [WorldGPT.from_pretrained(name, device) for name in names]
    first = models[0]
    for name, model in zip(names[1:], models[1:], strict=True):
        for what in ("specs", "action_spec"):
            if getattr(model, what) != getattr(first, what):
                raise ConfigurationError(
                    f"{names[0]} and {name} differ in their {what}; evaluate them one by one."
                )
        if model.config.combinations != first.config.combinations:
            raise ConfigurationError(
                f"{names[0]} and {name} were trained on other combinations; evaluate them one by "
                "one, and put the figures side by side: worldgpt worldnet compare."
            )
    return models


def learned_scenarios(model: str) -> tuple[str, ...] | None:
    """Return the scenarios that a model has learned from, as its training noted; else None."""
    path = Path(model) / "metrics.json"
    if not path.is_file():
        return None  # an embedded world, or a model that was saved by hand
    summary = Fields(read_json(path, figures=True), path)
    noted = summary.texts("scenarios") if summary.data.get("scenarios") is not None else []
    return tuple(noted) if any(noted) else None


def choose_combinations(
    model: WorldGPT, names: str, modalities: Sequence[str] | None
) -> list[Combination]:
    """Return the combinations called ``names``.

    Args:
        model: has to have their modalities.
        names: ``"all"``, ``"paper8"``, or names such as ``"image>audio,image+audio>video"``.
        modalities: of ``"all"``; ``("all",)`` for those of the model, None for image, video and
            audio where it has them.

    Raises:
        MissingModalityError: the model lacks a modality.
        ConfigurationError: there is no such modality, or a combination has no input.
    """
    if modalities is None:
        among = [m for m in PERCEIVED if m in model.specs]
    else:
        every = list(modalities) == ["all"]
        among = list(model.specs) if every else [_modality(name) for name in modalities]
    if names == "all":
        chosen = combinations(among)
    else:
        listed = PAPER if names == "paper8" else names.split(",")
        chosen = [Combination.parse(name) for name in listed]
    needed = {m for c in chosen for m in (*c.inputs, *c.outputs)} | set(among)
    missing = [str(m) for m in Modality if m in needed and m not in model.specs]
    if missing:
        raise MissingModalityError(
            f"the model has no {missing}; it has {[str(m) for m in model.specs]}. Name those with "
            "--modalities or --combinations."
        )
    if not chosen or any(not c.inputs for c in chosen):
        raise ConfigurationError(
            f"--combinations {names!r} of {[str(m) for m in among]} reads nothing; every "
            "combination needs an input, as image>audio."
        )
    return chosen


def _modality(name: str) -> Modality:
    try:
        return Modality(name)
    except ValueError as error:
        raise ConfigurationError(
            f"there is no modality {name!r}; there are {[str(m) for m in Modality]}, and 'all'."
        ) from error
