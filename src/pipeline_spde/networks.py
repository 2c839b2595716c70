"""The networks that are trained, and how one is made: from a configuration or a checkpoint.

Every network is called as `network(height_anomaly, observed, error, ocean, spacing_km, guess)` and
returns the state (batch, time, lat, lon); training and reconstruction of states need no more of it
than this, its `config`, its `spacing_km` and its `prior` (None: the loss has no prior cost).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pipeline_spde.assimilation.checkpoint import StateCheckpoint, load_weights
from pipeline_spde.assimilation.spde_solver import SpdeSolver, expanded_weights
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.baselines.unet import UNet
from pipeline_spde.config import AnyNetworkConfig, AugmentedModelConfig, PartName, UNetConfig

Network = StateSolver | UNet

PARTS: dict[PartName, tuple[str, ...]] = {
    "prior": ("prior.",),
    "gradient": ("gradient_net.", "gradient_step"),
    "observation": ("observation_log_weight",),
    "theta": ("theta_net.",),
    "encoder": ("down.",),
    "decoder": ("up.",),
    "output": ("residual.",),
}
"""Part of a network -> how the names of its parameters begin."""


def untrained(model: AnyNetworkConfig, spacing_km: tuple[float, float]) -> Network:
    """Return a network with random weights.

    Args:
        model: the architecture.
        spacing_km: (dy, dx) of the cells it is made for.
    """
    if isinstance(model, UNetConfig):
        return UNet(model, spacing_km)
    if isinstance(model, AugmentedModelConfig):
        return SpdeSolver(model, spacing_km)
    return StateSolver(model, spacing_km)


def trained(checkpoint: StateCheckpoint) -> Network:
    """Return the network of a checkpoint, in evaluation mode."""
    network = untrained(checkpoint.model, checkpoint.spacing_km)
    load_weights(network, checkpoint.weights)
    return network.eval()


def start_from(network: Network, checkpoint: StateCheckpoint) -> None:
    """Give a network the weights of a checkpoint: its own kind, or stage 1 for stage 2.

    Raises:
        ValueError: the weights belong to another architecture.
    """
    weights = dict(checkpoint.weights)
    stage_1 = not isinstance(checkpoint.model, AugmentedModelConfig)
    if isinstance(network, SpdeSolver) and stage_1:
        weights = expanded_weights(network, weights)
    load_weights(network, weights)


def freeze(network: Network, parts: Sequence[PartName]) -> None:
    """Keep parts of a network as they are: no gradient for their weights, and no dropout.

    Parts that this network does not have are left out: a configuration names those of several.

    Raises:
        ValueError: nothing is left to learn.
    """
    if not parts:
        return
    kept = tuple(start for part in parts for start in PARTS[part])
    for name, parameter in network.named_parameters():
        if name.startswith(kept):
            parameter.requires_grad_(False)
    for name, module in network.named_modules():
        if name.startswith(kept) and isinstance(module, nn.Dropout2d):
            module.p = 0.0
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError(
            f"nothing of {network.config.method} is left to learn when {', '.join(parts)} are "
            "frozen; leave out one of them (frozen)"
        )


def needs_first_guess(model: AnyNetworkConfig) -> bool:
    """Return True for networks that must be given the first guess of their windows."""
    return isinstance(model, AugmentedModelConfig) or model.start == "spde_oi"
