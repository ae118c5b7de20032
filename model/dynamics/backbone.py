"""The language model in the middle: any causal LM of transformers, fed with embeddings."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from ..bounds import MOST, check_fields, from_fields
from ..errors import ConfigurationError, WorldGPTError
from ..external_weights import Referring, check_digest, freeze, load_network, weights_digest
from ..memory_limit import no_memory_limit
from ..safe_json import one_line, shorten

PAPER_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank updates of a frozen checkpoint; the defaults are the paper's (WorldGPT §5.1).

    Attributes:
        r: rank.
        alpha: the update is scaled by ``alpha / r``.
        dropout: on what the update reads, in training.
        targets: the linear maps that are updated, in every layer.
    """

    r: int = 32
    alpha: int = 32
    dropout: float = 0.1
    targets: tuple[str, ...] = PAPER_TARGETS

    def __post_init__(self) -> None:
        """Refuse what is no update."""
        check_fields(self, r=(1, 65536), alpha=(1, MOST), dropout=(0, 1))
        object.__setattr__(self, "targets", tuple(self.targets))
        if self.dropout == 1 or not self.targets:
            raise ConfigurationError(
                f"LoRA has rank {self.r}, alpha {self.alpha}, dropout {self.dropout} on "
                f"{self.targets}; rank and alpha are positive, and something is updated."
            )


@dataclass(frozen=True)
class CheckpointSettings:
    """A pretrained language model, by name or folder; all of it stays frozen but LoRA.

    The last two are filled in when the weights are loaded, and come back with a saved model.

    Attributes:
        checkpoint: name on the hub, or folder with config.json and safetensors.
        lora: fields of :class:`LoraSettings`; None trains nothing of the language model.
        dtype: what the frozen weights are kept in, ``"float32"`` or ``"bfloat16"``.
        embed_weights: save the weights with the model instead of their name and hash.
        sha256: of the frozen weights; checked when they are loaded again.
        architecture: the model's configuration, where the weights are embedded.
    """

    checkpoint: str
    lora: dict[str, Any] | None = None
    dtype: str = "float32"
    embed_weights: bool = False
    sha256: str = ""
    architecture: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse number types that nothing computes in."""
        check_fields(self)
        if self.dtype not in ("float32", "bfloat16"):
            raise ConfigurationError(f"dtype is {self.dtype!r}; use 'float32' or 'bfloat16'.")


def backbone_config(settings: dict[str, Any]) -> PreTrainedConfig:
    """Return the transformers configuration of ``settings`` (its fields and a ``model_type``)."""
    settings = dict(settings)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation = "eager"  # faster than sdpa with a 4-D mask in training on CPU
    return config


def build_network(settings: dict[str, Any], dtype: torch.dtype | None = None) -> Any:
    """Return the language model of ``settings``, see :func:`backbone_config`, randomly initialised.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return AutoModel.from_config(
            backbone_config(settings), dtype=dtype, trust_remote_code=False
        )
    except WorldGPTError:
        raise
    except Exception as error:  # what foreign classes raise for foreign values can be anything
        raise ConfigurationError(
            f"no transformers backbone can be built from {shorten(settings, 100)}: "
            f"{one_line(error)}. Give the fields of a causal LM's configuration and its "
            "'model_type', or the name or folder of a pretrained one as 'checkpoint'."
        ) from error


class Backbone(Referring):
    """A causal language model without its vocabulary head, run on embeddings under own masks.

    Args:
        settings: a transformers configuration as a dict with its ``model_type``, to start from
            random weights that all train; or fields of :class:`CheckpointSettings`.

    Attributes:
        settings: the same, completed by what was found out about the checkpoint.
        pretrained: the settings of the checkpoint, None for a model from scratch.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Build or load the model."""
        super().__init__()
        self.settings = dict(settings)
        self.pretrained: CheckpointSettings | None = None
        self._merged: tuple[Any, Backbone] | None = None
        self.model: Any
        if "checkpoint" in settings:
            self._open(settings)
            return
        if "lora" in settings:
            raise ConfigurationError("LoRA updates a pretrained model; name one as 'checkpoint'.")
        self.model = build_network(settings)

    def _open(self, settings: Mapping[str, Any]) -> None:
        chosen = from_fields(CheckpointSettings, settings, "the backbone")
        lora = None if chosen.lora is None else from_fields(LoraSettings, chosen.lora, "lora")
        dtype = getattr(torch, chosen.dtype)
        base: Any
        if chosen.embed_weights and chosen.architecture:
            base = build_network(chosen.architecture, dtype)
            freeze(base)
        else:
            options = {"dtype": dtype, "attn_implementation": "eager"}
            with no_memory_limit():
                base = load_network(AutoModel, chosen.checkpoint, **options)
            digest = weights_digest(base)
            check_digest(chosen.checkpoint, chosen.sha256, digest)
            self.settings["sha256"] = digest
        if chosen.embed_weights:
            config = base.config.to_json_string(use_diff=False)
            self.settings["architecture"] = chosen.architecture or json.loads(config)
        self.pretrained = chosen
        self.model = base if lora is None else adapt(base, lora)

    @property
    def hidden(self) -> int:
        """Width D of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def trainable(self) -> list[str]:
        """The declared names of the parameters that train: all from scratch, else only LoRA's."""
        names = [name for name, _ in self.named_parameters()]
        return [n for n in names if self.pretrained is None or "lora_" in n]

    def is_referred(self, name: str) -> bool:
        """Return whether a tensor is found in the checkpoint, and so is not saved again."""
        kept = self.pretrained is None or self.pretrained.embed_weights
        return not kept and "lora_" not in name

    def forward(self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: Any = None) -> Tensor:
        """Return hidden states ``(B, L, D)`` of ``tokens`` ``(B, L, D)``.

        Args:
            tokens: embeddings.
            mask: additive, ``(B or 1, 1, L, S)`` float; S counts cached and new keys.
            positions: ``(1 or B, L)`` int64.
            cache: a transformers ``Cache`` for step-by-step prediction.
        """
        dtype = self.model.dtype
        output = self.model(
            inputs_embeds=tokens.to(dtype),
            attention_mask=mask.to(dtype),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state.to(tokens.dtype)

    def merged(self) -> Backbone:
        """Return a backbone with plain weights that computes the same: itself, if it has no LoRA.

        The copy shares all weights but those that LoRA updates, and stays as it is when training
        goes on; it is made anew when LoRA has changed since.
        """
        updates = [p for n, p in self.named_parameters() if "lora_" in n]
        if not updates:
            return self
        version = [(p.data_ptr(), p._version) for p in updates]
        if self._merged is None or self._merged[0] != version:
            plain = copy.copy(self)
            plain._modules = {"model": merge(self.model.get_base_model())}
            plain._merged = None
            self._merged = (version, plain.eval())
        return self._merged[1]

    @torch.no_grad()
    def word_embeddings(self, vocabulary: Sequence[str], tokenizer: Any) -> Tensor:
        """Return what the language model knows of words, to start a closed vocabulary from.

        Args:
            vocabulary: words; the empty one gets zeros, ``<unknown>`` the mean of all others.
            tokenizer: the checkpoint's own, see :meth:`tokenizer`.

        Returns:
            ``(V, D)`` float32: the mean of a word's sub-token embeddings, each word as it is
            written after another one.
        """
        table = self.model.get_input_embeddings().weight.float()
        rows = table.new_zeros(len(vocabulary), table.shape[1])
        for number, word in enumerate(vocabulary):
            if word in ("", "<unknown>"):
                continue
            ids = tokenizer.encode(" " + word, add_special_tokens=False)
            if not ids or max(ids) >= len(table):
                raise ConfigurationError(
                    f"the tokenizer gives {word!r} the ids {ids}, and this language model has "
                    f"{len(table)}; use the tokenizer of the same checkpoint."
                )
            rows[number] = table[ids].mean(0)
        known = [n for n, word in enumerate(vocabulary) if word not in ("", "<unknown>")]
        for number, word in enumerate(vocabulary):
            if word == "<unknown>" and known:
                rows[number] = rows[known].mean(0)
        return rows

    def tokenizer(self) -> Any:
        """Return the tokenizer of the checkpoint.

        Raises:
            ConfigurationError: for a model from scratch, or a checkpoint without one.
        """
        from transformers import AutoTokenizer

        if self.pretrained is None:
            raise ConfigurationError("a language model from scratch has no tokenizer.")
        try:
            return AutoTokenizer.from_pretrained(
                self.pretrained.checkpoint, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"{self.pretrained.checkpoint!r} has no tokenizer that reads: {error}"
            ) from error

    @torch.no_grad()
    def inverse_frequencies(self) -> Tensor:
        """Return the rotary frequencies ``(head/2,)``, needed to turn cached keys back."""
        rotary = getattr(self.model, "rotary_emb", None)
        if rotary is None or not hasattr(rotary, "inv_freq"):
            raise ConfigurationError(
                f"{type(self.model).__name__} has no rotary positions; imagination past the "
                "context needs them. Use a Llama, Qwen, Mistral, Gemma or SmolLM backbone."
            )
        return rotary.inv_freq


def adapt(base: nn.Module, settings: LoraSettings) -> Any:
    """Return ``base`` with LoRA around it; exactly the updates train.

    Raises:
        ConfigurationError: if peft is missing, or ``base`` has none of the targets.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigurationError("LoRA needs peft; type: pip install peft") from error
    fields = asdict(settings)
    config = LoraConfig(
        r=fields["r"],
        lora_alpha=fields["alpha"],
        lora_dropout=fields["dropout"],
        target_modules=list(settings.targets),
        bias="none",
    )
    try:
        return get_peft_model(base, config)
    except ValueError as error:
        raise ConfigurationError(
            f"LoRA finds no {list(settings.targets)} in {type(base).__name__}: {error}"
        ) from error


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` with its updates added to the weights, the others shared."""
    from peft.tuners.lora import LoraLayer

    shared = [*model.parameters(), *model.buffers()]
    plain = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    updated = [(n, m) for n, m in plain.named_modules() if isinstance(m, LoraLayer)]
    layer: Any
    for name, layer in updated:
        base = layer.get_base_layer()
        total = nn.Linear(base.in_features, base.out_features, bias=False, device="meta")
        delta = layer.get_delta_weight("default").to(base.weight.dtype)
        total.weight = nn.Parameter(base.weight + delta, requires_grad=False)
        total.register_parameter("bias", base.bias)
        plain.set_submodule(name, total)
    return plain
