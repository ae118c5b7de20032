"""Captions by models of transformers: one that tells what pictures show, one that rewrites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError

from .captions import Caption
from .footage import Footage

LONGEST = 384  # pixels of the longer side of what a captioner sees
PROMPT = (
    "Rewrite this description of an action as one short, grammatical English sentence. "
    "Answer with the sentence alone.\n\n{text}"
)


class TransformersCaptioner:
    """Tells the first, middle and last picture of an event with an image-to-text model.

    The middle one is told as what happens: a model that sees one picture at a time does not know
    what moves. Decoding is greedy, so the same pictures are told the same way.
    """

    def __init__(self, name: str, words: int = 20, device: str = "cpu") -> None:
        """Load the model.

        Args:
            name: of a model with an image processor and a tokenizer that
                ``AutoModelForImageTextToText`` knows (BLIP, GIT, vision encoder-decoders, ...), or
                its folder.
            words: pieces of words that are told at most.
            device: where it computes.

        Raises:
            ConfigurationError: there is no such model here, or it lacks a part.
        """
        import transformers

        self.name, self._words = name, words
        with _loading(name, "captioner"):
            self._look = _load(transformers.AutoImageProcessor, name)
            self._tokenizer = _load(transformers.AutoTokenizer, name)
            model = _load(transformers.AutoModelForImageTextToText, name, use_safetensors=True)
        self._model = model.eval().to(device)

    def describe(self, footage: Footage, start: float, end: float) -> Caption:
        """Return what the pictures of the event show."""
        film = footage.film(start, end, 3, LONGEST)  # (3, h, w, 3)
        before = footage.film(start, start, 1, LONGEST)[0]
        first, happening, last = self.tell([before, film[1], film[2]])
        return Caption(happening, first, last)

    @torch.inference_mode()
    def tell(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """Return a sentence for each picture ``(h, w, 3)`` uint8."""
        shown = self._look(
            images=[Image.fromarray(picture) for picture in pictures], return_tensors="pt"
        )
        told = self._model.generate(
            pixel_values=shown["pixel_values"].to(self._model.device),
            max_new_tokens=self._words,
            do_sample=False,
        )
        sentences = self._tokenizer.batch_decode(told, skip_special_tokens=True)
        return [" ".join(sentence.split()) for sentence in sentences]


class TransformersRewriter:
    """Puts descriptions into grammatical sentences with a chat model."""

    def __init__(self, name: str, words: int = 40, device: str = "cpu") -> None:
        """Load the model.

        Args:
            name: of a causal language model whose tokenizer has a chat template, or its folder.
            words: pieces of words that are written at most.
            device: where it computes.

        Raises:
            ConfigurationError: there is no such model here, or it has no chat template.
        """
        import transformers

        self.name, self._words = name, words
        with _loading(name, "rewriter"):
            self._tokenizer = _load(transformers.AutoTokenizer, name)
            model = _load(transformers.AutoModelForCausalLM, name, use_safetensors=True)
        if not self._tokenizer.chat_template:
            raise ConfigurationError(
                f"the rewriter {name} has no chat template; name a model that was made to chat."
            )
        self._model = model.eval().to(device)

    def __call__(self, text: str) -> str:
        """Return the first line of what the model makes of ``text``; "" if it says nothing."""
        return self.answer(PROMPT.format(text=text))

    @torch.inference_mode()
    def answer(self, question: str) -> str:
        """Return the first line of the answer to ``question``, the likeliest one."""
        asked = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        ).to(self._model.device)
        answer = self._model.generate(**asked, max_new_tokens=self._words, do_sample=False)
        new = answer[0, asked["input_ids"].shape[1] :]
        lines = self._tokenizer.decode(new, skip_special_tokens=True).strip().splitlines()
        return lines[0].strip() if lines else ""


def _load(kind: Any, name: str, **options: Any) -> Any:
    return kind.from_pretrained(name, trust_remote_code=False, **options)


class _loading:
    """Turns what transformers raises about a model that is not there into one sentence."""

    def __init__(self, name: str, what: str) -> None:
        self._name, self._what = name, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | KeyError):
            raise ConfigurationError(
                f"the {self._what} {self._name} cannot be loaded ({error}); give the name or the "
                "folder of a model with all its parts."
            ) from error
