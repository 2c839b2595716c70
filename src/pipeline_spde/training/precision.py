"""Where a training runs and in which arithmetic."""

from __future__ import annotations

from typing import Any

import torch


def choose_accelerator(wanted: str) -> str:
    """Return "gpu" or "cpu"; "auto" means CUDA where there is one (float64 rules out MPS)."""
    if wanted != "auto":
        return wanted
    return "gpu" if torch.cuda.is_available() else "cpu"


def choose_precision(wanted: str, accelerator: str) -> Any:
    """Return the arithmetic to use: `wanted`, or for "auto" bfloat16 where the device has it.

    Processors without bfloat16 instructions (avx512_bf16, amx_bf16) would emulate it slowly.
    """
    if wanted != "auto":
        return wanted
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if _cpu_has_bfloat16() else "32-true"


def _cpu_has_bfloat16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)
