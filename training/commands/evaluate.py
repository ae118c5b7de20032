"""``worldgpt evaluate``: a policy in the real world, or a model on a recording."""

from __future__ import annotations

import argparse
from typing import Any

from worldgpt_env.model.errors import ConfigurationError

from ..options import ALGORITHM, SET, WORLD, add_options, options_of
from ..results_io import Figures, show

POLICY, FIDELITY = "policy_evaluation.EvaluateConfig", "evaluation.fidelity.FidelityConfig"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of both uses."""
    add_options(
        parser, POLICY, {"algo": ALGORITHM, "settings": SET, "world": WORLD}, required=False
    )
    add_options(parser, FIDELITY, {"model": None}, required=False)


def run(**options: Any) -> Figures:
    """Run the command and return its figures."""
    if "policy" in options and "data" not in options:
        from ..policy_evaluation import EvaluateConfig, evaluate

        _refuse_foreign(options, POLICY, "--policy")
        return show(evaluate(EvaluateConfig(**options)))
    if "data" in options and "policy" not in options:
        from ..evaluation.fidelity import FidelityConfig, evaluate_fidelity

        _refuse_foreign(options, FIDELITY, "--data")
        if "model" not in options:
            raise ConfigurationError("--data needs a model to compare it with; add --model MODEL.")
        result = evaluate_fidelity(FidelityConfig(**options))
        print(result.table())
        return result.to_json()
    raise ConfigurationError(
        "nothing to evaluate; give --policy POLICY [--world NAME], or --model MODEL --data DIR."
    )


def _refuse_foreign(options: Figures, config: str, what: str) -> None:
    """Refuse options that do not belong to this use of the command."""
    if foreign := sorted(set(options) - {option.name for option in options_of(config)}):
        named = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise ConfigurationError(f"{named} cannot be used with {what}; leave it out.")
