"""Θ estimated from the truth of the learning days, and how far it is from the true one."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray

from gaussian_process.maps import climatology, exact_model
from gaussian_process.ocean import DYNAMICS, LAW, LEARNING, Ocean
from pipeline_spde.assimilation.theta import COUNT, ThetaProblem
from pipeline_spde.baselines import spde_fit
from pipeline_spde.config import SpdeOiConfig, SpdeSolverConfig
from pipeline_spde.first_guess import Guess
from pipeline_spde.spde import SpdeParameters
from pipeline_spde.training.spde import roughness

Array = NDArray[np.float64]

# Start of the likelihood: everything is wrong, and nothing is known of the currents.
START = replace(LAW, range_km=220.0, decorrelation_time_days=20.0)
START_SIGMA = 0.15  # m
THETA_CELLS = 6  # cells per side of a cell of Θ
SMOOTHNESS = 0.002  # weight of the roughness of Θ, nats per node and day
_SPEED = 20.0  # km/day; brings the currents to the size of the other channels
_STEPS = 150  # of L-BFGS at most


def most_likely_theta(
    ocean: Ocean, lags: tuple[int, ...], shapes_known: bool = False
) -> SpdeParameters:
    """Return Θ that maximises the likelihood of the learning days, as training computes it.

    Args:
        ocean: the truth of its learning days is used.
        lags: steps in days of the likelihood.
        shapes_known: start from the true fields of σ and m, and find one number for each channel;
            else every channel is a field of which nothing is known.
    """
    problem, scale = _problem(ocean, shapes_known)
    truth = torch.as_tensor(ocean.true_maps(ocean.learning).height)[None]
    cells = max(ocean.grid.shape) if shapes_known else THETA_CELLS
    size = [-(-side // cells) for side in ocean.grid.shape]
    weight = truth.numel()  # nats of all nodes and days

    def cost(flat: Array) -> tuple[float, Array]:
        scaled = torch.as_tensor(flat).view(1, COUNT, *size).requires_grad_(True)
        value = problem.nll(scaled * scale, truth, lags).sum() + SMOOTHNESS * roughness(scaled)
        (slope,) = torch.autograd.grad(weight * value, scaled)
        return weight * value.item(), slope.numpy().ravel()

    found = scipy.optimize.minimize(
        cost, np.zeros(COUNT * size[0] * size[1]), jac=True, method="L-BFGS-B",
        options={"maxiter": _STEPS, "ftol": 1e-8, "maxcor": 30},
    )  # fmt: skip
    logging.info("lags %s: %.0f nats after %d evaluations", lags, found.fun, found.nfev)
    delta = torch.as_tensor(found.x).view(1, COUNT, *size) * scale
    with torch.no_grad():
        return problem.parameters(delta).at(slice(0, 1))


def _problem(ocean: Ocean, shapes_known: bool) -> tuple[ThetaProblem, torch.Tensor]:
    """Return the likelihood of the learning days as a function of δ, and the scale of δ."""
    shape = ocean.grid.shape
    currents = torch.zeros(1, 2, LEARNING, *shape, dtype=torch.float64)
    sigma = torch.full((1, *shape), START_SIGMA, dtype=torch.float64)
    if shapes_known:
        true = ocean.theta.physical(dynamics=DYNAMICS)
        assert true.m_east is not None and true.m_north is not None
        currents = currents + torch.stack([true.m_east, true.m_north], dim=1)
        sigma = true.sigma[:, 0]
    guess = Guess(torch.zeros(1, LEARNING, *shape), currents, sigma, unit_m=1.0, law=START)
    spacing = (float(ocean.grid.dy_km), float(ocean.grid.dx_km.mean()))
    problem = ThetaProblem.of(
        guess, torch.as_tensor(ocean.grid.ocean), spacing, SpdeSolverConfig(), pooling=1
    )
    double = {"still": problem.still.double(), "currents": problem.currents.double()}
    scale = torch.ones(1, COUNT, 1, 1, dtype=torch.float64)
    scale[:, 5:] = _SPEED
    return replace(problem, **double), scale


def accuracy(ocean: Ocean, theta: SpdeParameters) -> dict[str, float]:
    """Return how far an estimate is from the true Θ: errors of logarithms, km/day for currents."""
    true, found = (one.physical(dynamics=DYNAMICS) for one in (ocean.theta, theta))
    sigma = torch.log(found.sigma / true.sigma)
    mean_range = 0.5 * torch.log(found.range_major * found.range_minor) - np.log(LAW.range_km)
    time = torch.log(found.decorrelation_time / LAW.decorrelation_time_days)
    pairs = [(found.m_east, true.m_east), (found.m_north, true.m_north)]
    own, wanted = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    return {
        "sigma": float(sigma.mean()),
        "sigma_rms": float(sigma.square().mean().sqrt()),
        "range": float(mean_range.mean()),
        "time": float(time.mean()),
        "anisotropy": float(torch.log(found.range_major / found.range_minor).mean()),
        "currents_rms_km_day": float((2 * (own - wanted).square().mean()).sqrt()),
        "currents_correlation": float(torch.corrcoef(torch.stack([own, wanted]))[0, 1])
        if float(own.abs().max()) > 0
        else 0.0,
    }


def moments_accuracy(ocean: Ocean, shortest_km: float) -> dict[str, float]:
    """Return how far the fit by moments of all days is from the truth.

    Errors of logarithms, of ρ itself. σ is compared with the standard deviation that the prior
    really has, walls included.
    """
    options, period = SpdeOiConfig(noise_order=LAW.noise_order), ocean.period(0, -1)
    found, sigma = spde_fit.stationary_fit(
        ocean.observations, ocean.grid, options, period, ocean.true_maps(period)
    )
    deviation = climatology(ocean, exact_model(ocean, ocean.theta, shortest_km)).std
    assert deviation is not None
    return {
        "sigma": float(np.mean(np.log(sigma / deviation[0]))),
        "range": float(np.log(found.range_km / LAW.range_km)),
        "time": float(np.log(found.decorrelation_time_days / LAW.decorrelation_time_days)),
        "noise_length": float(np.log(found.noise_length_km / LAW.noise_length_km)),
        "rho": found.rho - LAW.rho,
    }
