"""torch's modes: what a function of this package may be called in, and what it makes of its argument."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, TypeVar

import torch

from arreig import ArreigError, InputTypeError
from arreig._decompositions import _inputs

Tensor: TypeAlias = torch.Tensor
Tensors: TypeAlias = tuple[Tensor, ...]
F = TypeVar("F", bound=Callable[..., Any])


def eager(function: F) -> F:
    """Keep torch.compile out: it breaks its graph here, and says why where it may not."""
    reason = "arreig_torch runs eagerly: it reads the numbers that it has computed, to check them"
    return torch.compiler.disable(function, reason=reason)  # type: ignore[no-any-return]


def admit(A: Tensor, name: str = "A") -> Tensor:
    """A, if it is a matrix that can be decomposed, in the precision in which it is."""
    if not isinstance(A, Tensor):
        raise InputTypeError(
            f"{name} must be a torch.Tensor, got {_inputs.kind(A)}; for arrays of other libraries use arreig"
        )
    refuse_export()
    if A.dtype in (torch.float16, torch.bfloat16) and in_autocast(A):
        A = A.float()
    return _inputs.matrix(A, name)[0]  # type: ignore[no-any-return]


def refuse_export() -> None:
    """Refuse torch.export."""
    if torch.compiler.is_exporting():
        raise ArreigError(
            "arreig_torch refuses torch.export, which would keep its values and silently drop its gradient: export the part of "
            "the model after the decomposition, and pass it w and V"
        )


def in_autocast(x: Tensor) -> bool:
    """Whether autocast is on for x's device."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Autocast switched off: it would compute matrix products in half precision, and no eigensolver takes that."""
    return torch.autocast(x.device.type, enabled=False) if in_autocast(x) else nullcontext()
