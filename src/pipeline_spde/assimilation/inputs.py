"""What every network checks of its inputs before it uses them."""

from __future__ import annotations

import torch
from torch import Tensor


def check_inputs(
    heights: Tensor, observed: Tensor, error: Tensor, ocean: Tensor, window_days: int
) -> None:
    """Refuse inputs that do not fit the network or each other.

    Args:
        heights: expected shape (batch, window_days, lat, lon).
        observed: boolean mask, same shape.
        error: same shape.
        ocean: boolean, shape (batch, lat, lon) or (lat, lon).
        window_days: that of the network.

    Raises:
        ValueError: which shape or type does not fit, and what would.
    """
    if heights.ndim != 4 or heights.shape[1] != window_days:
        raise ValueError(
            f"height_anomaly has shape {tuple(heights.shape)}; expected (batch, "
            f"{window_days}, lat, lon), {window_days} being the "
            "window_days of the model"
        )
    for name, tensor in (("observed", observed), ("error", error)):
        if tensor.shape != heights.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, height_anomaly has "
                f"{tuple(heights.shape)}; they must agree"
            )
    for name, tensor in (("observed", observed), ("ocean", ocean)):
        if tensor.dtype != torch.bool:
            raise ValueError(f"{name} must be a boolean mask, got {tensor.dtype}")
    if ocean.shape[-2:] != heights.shape[-2:]:
        raise ValueError(
            f"ocean has shape {tuple(ocean.shape)}, the fields are "
            f"{tuple(heights.shape[-2:])} cells"
        )
