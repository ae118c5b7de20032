"""The configuration of a WorldGPT and its presets."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from .bounds import check_fields, check_value, from_fields
from .curriculum import Combination
from .errors import ConfigurationError
from .modalities import (
    ActionSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    specs_from_json,
    specs_to_json,
)
from .safe_json import shorten


@dataclass(frozen=True)
class Preset:
    """The sizes of a model: one word instead of many numbers."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    context: int
    cell_width: int
    image_tokens: str = "rows"

    def backbone(self) -> dict[str, Any]:
        """Return the configuration of a Llama of this size, to be trained from scratch."""
        return {
            "model_type": "llama",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "intermediate_size": self.intermediate,
            "vocab_size": 2,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": None,
        }


PRESETS: dict[str, Preset] = {
    "tiny": Preset(32, 1, 2, 1, 64, context=2, cell_width=16),
    "small": Preset(128, 2, 4, 1, 320, context=4, cell_width=48),
    "medium": Preset(512, 8, 8, 2, 1408, context=16, cell_width=128, image_tokens="cells"),
}


@dataclass(frozen=True)
class RewardBins:
    """Symlog-spaced bins over the rewards seen in a recording."""

    low: float = -1.0
    high: float = 1.0
    bins: int = 41

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        check_fields(self, low=(-1e30, 1e30), high=(-1e30, 1e30), bins=(2, 4096))
        if not self.low < self.high:
            raise ConfigurationError(f"reward bins span [{self.low}, {self.high}] in {self.bins}.")


RANGES: dict[str, tuple[str, float | None, float | None]] = {
    "world": ("str", None, None),
    "context": ("int", 1, 64),  # its masks grow with the third power
    "cell_width": ("int", 1, 8192),
    "ensemble": ("int", 2, 64),
    "horizon": ("int", 1, 10**6),
    "temperature": ("float", 0, 1000),
    "termination_temperature": ("float", 1e-4, 1e4),
    "signal_tokens": ("int", 1, 256),
    "rewarded": ("bool", None, None),
}
"""Kind and range of the plain fields of a :class:`WorldGPTConfig`."""


ALWAYS = {"action", "backbone", "codecs", "image_tokens", "modalities", "reward"}
ALWAYS |= RANGES.keys() - {"rewarded", "signal_tokens"}
"""What every version has written."""


@dataclass(frozen=True)
class ReflectorConfig:
    """Sizes of the reflector (WorldGPT §4.1: a Q-Former of two layers with four queries).

    Attributes:
        width: of the queries.
        layers: each attends among the queries and then to the context.
        heads: of attention.
        queries: tokens that each context becomes.
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    queries: int = 4

    def __post_init__(self) -> None:
        """Refuse sizes that make no reflector."""
        check_fields(self, width=(1, 8192), layers=(1, 64), heads=(1, 256), queries=(1, 256))
        if self.width % self.heads:
            raise ConfigurationError(
                f"a reflector of width {self.width} and {self.heads} heads cannot be; the width "
                "must be a multiple of the heads."
            )


class WorldGPTConfig(PreTrainedConfig):
    """Everything that rebuilds a :class:`WorldGPT`; plain JSON on disk.

    Args:
        world: name of the real world that was recorded.
        world_options: keyword arguments of ``make_world`` that open it as it was recorded.
        modalities: the specs as written by :func:`specs_to_json`.
        action: the fields of an :class:`ActionSpec`.
        backbone: a transformers configuration as a dict with its ``model_type``.
        codecs: settings per modality, see ``model/codecs``.
        context: blocks (steps) that the model looks back, the present one included.
        cell_width: width of a cell between codes and tokens.
        image_tokens: ``"rows"`` (one token per row of cells) or ``"cells"`` (one per cell).
        reward: low, high and bins of the reward head.
        outcome: where reward and end are read: ``"action"``, at the action slot; ``"next"``, there
            and from the next state.
        ensemble: members of the uncertainty ensemble.
        horizon: imagined steps before truncation when nothing else is asked for.
        temperature: sampling temperature of the codes; 0 takes the most likely ones.
        termination_temperature: calibration of the termination logit, fitted on held-out steps.
        agent_modalities: what agents observe of latent states when nothing else is asked for; all
            by default.
        signal_tokens: of each modality with a continuous codec (WorldGPT §3.1 has 16).
        rewarded: whether the recording told rewards; an environment needs them.
        combinations: names of the combinations that training met, such as ``"image>audio"``; only
            everything to everything if None.
        reflector: the fields of a :class:`~worldgpt_env.model.cognition.reflector.ReflectorConfig`;
            no reflector if None.
    """

    model_type = "worldgpt"

    def __init__(
        self,
        world: str = "",
        modalities: dict[str, Any] | None = None,
        action: dict[str, Any] | None = None,
        backbone: dict[str, Any] | None = None,
        codecs: dict[str, Any] | None = None,
        context: int = 4,
        cell_width: int = 48,
        image_tokens: str = "rows",
        reward: dict[str, Any] | None = None,
        outcome: str = "action",
        ensemble: int = 4,
        horizon: int = 64,
        temperature: float = 0.0,
        termination_temperature: float = 1.0,
        agent_modalities: list[str] | None = None,
        signal_tokens: int = 16,
        rewarded: bool = True,
        combinations: list[str] | None = None,
        reflector: dict[str, Any] | None = None,
        world_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        self.world = world
        self.modalities = (
            specs_to_json({Modality.IMAGE: ImageSpec(64, 64)}) if modalities is None else modalities
        )
        self.action = dataclasses.asdict(ActionSpec("discrete", (2,))) if action is None else action
        self.backbone = PRESETS["tiny"].backbone() if backbone is None else backbone
        self.codecs = {} if codecs is None else codecs
        self.context = context
        self.cell_width = cell_width
        self.image_tokens = image_tokens
        self.reward = dataclasses.asdict(RewardBins()) if reward is None else reward
        self.outcome = outcome
        self.ensemble = ensemble
        self.horizon = horizon
        self.temperature = temperature
        self.termination_temperature = termination_temperature
        self.agent_modalities = agent_modalities
        self.signal_tokens = signal_tokens
        self.rewarded = rewarded
        self.combinations = combinations
        self.reflector = reflector
        self.world_options = {} if world_options is None else world_options
        self._check()
        super().__init__(**kwargs)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> WorldGPTConfig:
        """Return the configuration of the fields of a ``config.json``.

        What transformers writes into it beside them says nothing about this model and is left out.

        Raises:
            ConfigurationError: a field is missing that every version has, or has a wrong value.
        """
        missing = sorted(ALWAYS - set(fields))
        for name, kind in (("reward", RewardBins), ("action", ActionSpec)):
            if isinstance(fields.get(name), dict):
                known = {entry.name for entry in dataclasses.fields(kind)}
                missing += [f"{name}.{part}" for part in sorted(known - set(fields[name]))]
        if missing:
            raise ConfigurationError(f"there is no {', '.join(missing)}.")
        own = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs"}
        return cls(**{name: value for name, value in fields.items() if name in own})

    @classmethod
    def from_preset(
        cls,
        preset: str,
        specs: dict[Modality, ModalitySpec],
        action_spec: ActionSpec,
        **settings: Any,
    ) -> WorldGPTConfig:
        """Return the configuration of a model for a world.

        Args:
            preset: a key of :data:`PRESETS`, or ``"paper"``: pretrained parts, whose names come in
                ``settings`` from :func:`~worldgpt_env.model.paper.paper_settings`.
            specs: of the world's modalities.
            action_spec: of the world's actions.
            **settings: further fields.
        """
        world = {"modalities": specs_to_json(specs), "action": dataclasses.asdict(action_spec)}
        if preset == "paper":
            if "checkpoint" not in settings.get("backbone", {}):
                raise ConfigurationError(
                    "the preset 'paper' is made of pretrained parts; name them: worldgpt train "
                    "--preset paper --language-model NAME --encoders image=clip:NAME ..."
                )
            return cls(**(world | settings))
        if preset not in PRESETS:
            raise ConfigurationError(
                f"preset {preset!r} is unknown; there are {', '.join(PRESETS)} and paper."
            )
        size = PRESETS[preset]
        fields: dict[str, Any] = world | {
            "backbone": size.backbone(),
            "context": size.context,
            "cell_width": size.cell_width,
            "image_tokens": size.image_tokens,
        }
        return cls(**(fields | settings))

    def _check(self) -> None:
        """Refuse fields of another kind or out of range, and parts that do not fit each other."""
        for name, bounds in RANGES.items():
            check_value(name, getattr(self, name), *bounds)
        for name in ("modalities", "action", "backbone", "codecs", "reward", "world_options"):
            if not isinstance(getattr(self, name), dict):
                raise ConfigurationError(f"{name} is {shorten(getattr(self, name))}; give a dict.")
        for name, known in (("image_tokens", ("rows", "cells")), ("outcome", ("action", "next"))):
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"{name} is {shorten(getattr(self, name))}; use one of {known}."
                )
        for name in ("agent_modalities", "combinations"):
            names = getattr(self, name)
            good = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
            if names is not None and not (good and names):
                raise ConfigurationError(f"{name} is {shorten(names)}; give a list of names.")
        for name in self.combinations or ():
            Combination.parse(name)
        for name in ("agent_modalities", "codecs"):
            unknown = set(getattr(self, name) or ()) - set(self.modalities)
            if unknown:
                raise ConfigurationError(
                    f"{name} names {sorted(unknown)}; there are {sorted(self.modalities)}."
                )
        if not self.modalities:
            raise ConfigurationError("modalities is empty; give the spec of one at least.")
        _ = self.specs, self.action_spec, self.reward_bins, self.reflector_config

    @property
    def specs(self) -> dict[Modality, ModalitySpec]:
        """The modalities of the world and their shapes, in token order."""
        return specs_from_json(self.modalities)

    @property
    def action_spec(self) -> ActionSpec:
        """What an agent may do in this world."""
        return from_fields(ActionSpec, self.action, "action")

    @property
    def reward_bins(self) -> RewardBins:
        """The bins of the reward head."""
        return from_fields(RewardBins, self.reward, "reward")

    @property
    def reflector_config(self) -> ReflectorConfig | None:
        """The sizes of the reflector, None without one."""
        if self.reflector is None:
            return None
        return from_fields(ReflectorConfig, self.reflector, "reflector")
