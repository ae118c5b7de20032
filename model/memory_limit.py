"""A limit on the tensors that are made when a network is built: no file may fill the memory."""

from __future__ import annotations

import math
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
"""Bytes beyond those of the file: what a language model computes for itself when it is built."""

_lifted: ContextVar[bool] = ContextVar("lifted", default=False)
_SHAPED = {getattr(torch, n) for n in ("empty", "zeros", "ones", "full", "rand", "randn")}
_OTHERS = {
    getattr(torch, name)
    for name in (
        *("arange", "linspace", "logspace", "eye", "randint", "randperm", "hann_window"),
        *("hamming_window", "tril_indices", "triu_indices", "empty_strided"),
    )
}


class MemoryLimit(TorchFunctionMode):
    """Within it, making more tensors than fit a limit is an error, raised before they are made.

    A configuration is a few bytes and can ask for any size; the file of its weights cannot lie.

    Args:
        bytes: of the file whose weights will be loaded. Networks may make four times as much (its
            numbers may be kept in half the size, and are made a second time), and ``slack``.
        slack: see :data:`SLACK`.

    Raises:
        ConfigurationError: more was asked for.
    """

    def __init__(self, bytes: int, slack: int = SLACK) -> None:
        """See the class."""
        super().__init__()
        self.file, self.most = bytes, 4 * bytes + slack
        self.left = self.most

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count what ``func`` makes, then call it."""
        kwargs = dict(kwargs or {})
        makes = func in _SHAPED or func in _OTHERS
        if makes and not _lifted.get() and str(kwargs.get("device")) != "meta":
            self.left -= max(_bytes_of(func, args, kwargs), TENSOR)
            if self.left < 0:
                raise ConfigurationError(
                    f"its configuration asks for more than {self.most} bytes of weights, and the "
                    f"file of its weights has {self.file}."
                )
        return func(*args, **kwargs)


def _bytes_of(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    """Return how many bytes the tensor has that ``func`` would make."""
    if func in _SHAPED:
        size = args[0] if args else kwargs.get("size", ())
        size = args if isinstance(size, int) else size  # zeros(2, 3) and zeros((2, 3)) are one
        return math.prod(size) * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
    plain = {name: value for name, value in kwargs.items() if name not in ("generator", "out")}
    plan = func(*args, **plain | {"device": "meta"})
    return int(plan.numel() * plan.element_size())


@contextmanager
def no_memory_limit() -> Iterator[None]:
    """Lift every :class:`MemoryLimit`, for weights that come from another file."""
    before = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(before)
