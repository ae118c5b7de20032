"""The dynamics: a language model between the tokens of a step and the heads that read it out."""
