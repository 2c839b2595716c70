"""Energy, determinant, covariance and samples of the prior against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline_spde.spde import SpdePrior


def flat(x, prior):
    """Ocean values of states (..., batch, time, lat, lon) as (..., batch, time · cells)."""
    return x[..., prior.ocean].flatten(-2).numpy()


def test_everything_equals_dense_algebra(grid, settings, oracle):
    prior = oracle.prior(grid, seed=1, batch=2, **settings)
    x = torch.randn(3, *prior.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    energy, logdet = prior.energy(x), prior.logdet()
    product, covariance = prior.precision_times(x), prior.covariance_times(x)
    for entry in range(2):
        dense = oracle.dense_prior(grid, prior.theta, entry, **settings)
        assert np.linalg.eigvalsh(dense.q).min() > 0
        v = flat(x[:, entry], prior)
        np.testing.assert_allclose(energy[:, entry], np.einsum("ni,ij,nj->n", v, dense.q, v), rtol=1e-10)
        np.testing.assert_allclose(logdet[entry], np.linalg.slogdet(dense.q)[1], rtol=1e-11, atol=1e-9)
        qv = v @ dense.q
        np.testing.assert_allclose(flat(product[:, entry], prior), qv, atol=1e-10 * abs(qv).max())
        cv = v @ dense.covariance
        np.testing.assert_allclose(flat(covariance[:, entry], prior), cv, atol=1e-9 * abs(cv).max())
