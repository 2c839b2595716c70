"""The networks that are trained, and how one is made: from a configuration or a checkpoint.

Every network is called as `network(height_anomaly, observed, error, ocean, spacing_km, guess)` and
returns the state (batch, time, lat, lon); training and reconstruction of states need no more of it
than this, its `config`, its `spacing_km` and its `prior` (None: the loss has no prior cost).
"""

from __future__ import annotations

from pipeline_spde.assimilation.checkpoint import StateCheckpoint, load_weights
from pipeline_spde.assimilation.spde_solver import SpdeSolver, expanded_weights
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.baselines.unet import UNet
from pipeline_spde.config import AnyNetworkConfig, AugmentedModelConfig, UNetConfig

Network = StateSolver | UNet


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


def needs_first_guess(model: AnyNetworkConfig) -> bool:
    """Return True for networks that must be given the first guess of their windows."""
    return isinstance(model, AugmentedModelConfig) or model.start == "spde_oi"
