"""Whether torch is writing down what happens, for a compiler, an export or a transform: short cuts give way then."""

from __future__ import annotations

import torch


def recording() -> bool:
    """True while operations are recorded in place of being worked out."""
    return (
        torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active()
    )  # vmap and jvp know only torch's own operations
