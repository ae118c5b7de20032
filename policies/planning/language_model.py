"""LanguageModelProposer: asks a chat model of transformers for subgoals, and reads it strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from worldgpt_env.errors import CheckpointError, ConfigurationError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.safe_json import parse_json

from .proposer import Situation
from .subgoals import ProposalError, Subgoal, Words, text_spec

MOST = 8
"""Subgoals that an answer may hold."""

TASK = """You split a goal into subgoals for an agent. The agent sees the world in words.
Answer with one JSON list of 1 to {most} strings and nothing else.
Each string is a phrase of at most {slots} words that the agent will read when the subgoal is
reached, made only of these words: {words}.
Example of the form: {example}"""

QUESTION = """Goal: {goal}
Now: {now}
Reached before: {reached}
Subgoals, in order:"""


class LanguageModelProposer:
    """A language model by name or folder, with a chat template, that proposes subgoals in words.

    It answers greedily, so the same situation gets the same subgoals. Only safetensors weights are
    read, and no code from the folder is run.

    Args:
        name: of a model on the Hugging Face hub, or a folder, with an instruction-tuned model.
        max_new_tokens: of an answer.
        device: where it computes.

    Raises:
        CheckpointError: there is no such model.
        ConfigurationError: it has no chat template.
    """

    def __init__(self, name: str | Path, *, max_new_tokens: int = 200, device: str = "cpu") -> None:
        """Load tokenizer and weights."""
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            self.model: Any = AutoModelForCausalLM.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"no language model could be loaded from {str(name)!r} ({error}); give the name of "
                "an instruction-tuned model or the folder of one."
            ) from error
        if not self.tokenizer.chat_template:
            raise ConfigurationError(
                f"{str(name)!r} has no chat template; use the instruction-tuned version of it."
            )
        self.name, self.max_new_tokens = str(name), max_new_tokens
        self.model.eval().to(device)

    def propose(self, situation: Situation) -> tuple[Subgoal, ...]:
        """See :class:`Proposer`."""
        return read_subgoals(self.answer(situation), situation.model, self.name)

    def answer(self, situation: Situation) -> str:
        """Return what the language model says."""
        prompt = self.tokenizer.apply_chat_template(
            messages(situation), add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self.model.device)
        with torch.inference_mode():
            out = self.model.generate(**prompt, max_new_tokens=self.max_new_tokens, do_sample=False)
        told = out[0, prompt["input_ids"].shape[1] :]
        return str(self.tokenizer.decode(told, skip_special_tokens=True)).strip()


def messages(situation: Situation) -> list[dict[str, str]]:
    """Return the chat that asks for the subgoals of ``situation``."""
    spec = text_spec(situation.model)
    words = [word for word in spec.vocabulary if word.isalnum()]
    task = TASK.format(
        most=MOST, slots=spec.slots, words=" ".join(words), example=json.dumps([words[0]])
    )
    question = QUESTION.format(
        goal=situation.goal,
        now=situation.text or "nothing is said",
        reached=", ".join(situation.reached) or "nothing",
    )
    return [{"role": "system", "content": task}, {"role": "user", "content": question}]


def read_subgoals(answer: str, model: WorldGPT, name: str) -> tuple[Subgoal, ...]:
    """Return the subgoals of an ``answer``: a JSON list of phrases in the world's words.

    Raises:
        ProposalError: it is anything else.
    """
    try:
        phrases = parse_json(answer.encode())
    except ValueError:
        phrases = None
    strings = isinstance(phrases, list) and all(isinstance(phrase, str) for phrase in phrases)
    if not strings or not 1 <= len(phrases) <= MOST:
        raise ProposalError(
            f"{name!r} answered {answer!r:.200}, which is no JSON list of 1 to {MOST} strings; "
            "use a larger instruction-tuned model, or another proposer."
        )
    return tuple(Words.checked(phrase, model) for phrase in phrases)
