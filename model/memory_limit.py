"""A limit on the tensors that building a network makes, so that no configuration fills the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .errors import ConfigurationError

TENSOR = 2**15
"""Bytes that a tensor counts at least: the module around a small one is no less work."""
SLACK = 2**28
"""Bytes beyond the tensors of the file: what a network computes for itself when it is built."""

_lifted: ContextVar[bool] = ContextVar("lifted", default=False)
_MAKERS = {
    getattr(torch, name)
    for name in (
        *("empty", "zeros", "ones", "full", "eye", "rand", "randn", "randint", "randperm"),
        *("arange", "linspace", "logspace", "hann_window", "hamming_window", "tril_indices"),
        *("triu_indices", "empty_strided"),
    )
}


class MemoryLimit(TorchFunctionMode):
    """Within it, making more tensors than fit a limit is an error, raised before they are made.

    A configuration is a few bytes and can ask for any size; the file of its weights cannot lie.

    Args:
        bytes: of the file whose weights will be loaded. Networks may make four times as much (its
            numbers may be kept in half the size, and are made a second time), and 256 MiB.

    Raises:
        ConfigurationError: more was asked for.
    """

    def __init__(self, bytes: int) -> None:
        """See the class."""
        super().__init__()
        self.file, self.left = bytes, 4 * bytes + SLACK

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count what ``func`` makes, then call it."""
        kwargs = dict(kwargs or {})
        if func in _MAKERS and not _lifted.get() and str(kwargs.get("device")) != "meta":
            plain = {n: v for n, v in kwargs.items() if n not in ("generator", "out")}
            plan = func(*args, **plain | {"device": "meta"})
            self.left -= max(plan.numel() * plan.element_size(), TENSOR)
            if self.left < 0:
                raise ConfigurationError(
                    f"its configuration asks for more than {4 * self.file + SLACK} bytes of "
                    f"weights, and the file of its weights has {self.file}."
                )
        return func(*args, **kwargs)


@contextmanager
def no_memory_limit() -> Iterator[None]:
    """Lift every :class:`MemoryLimit`, for weights that come from another file."""
    before = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(before)
