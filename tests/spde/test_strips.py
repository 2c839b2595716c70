"""Strips against the whole determinant: value, derivative, choice of the halo."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import strips
from pipeline_spde.spde.factor import log_abs_det


def matrices(oracle, scale, alpha=2):
    grid = Grid.cartesian(64, 12, 10.0, 10.0)
    prior = oracle.prior(grid, days=2, scale=scale, alpha=alpha, currents=alpha == 2)
    return prior.propagator.left[0][0].nine_point().flatten(0, 1).detach()


@pytest.mark.parametrize(("scale", "alpha"), [(1.0, 2), (8.0, 2), (2.0, 4)])
def test_the_chosen_halo_keeps_the_promise(scale, alpha, oracle, monkeypatch):
    stencil = matrices(oracle, scale, alpha).requires_grad_()
    exact = log_abs_det(stencil)
    (derivative,) = torch.autograd.grad(exact.sum(), stencil)
    monkeypatch.setattr(strips, "LARGE", 10)
    monkeypatch.setattr(strips, "STRIP_CELLS", 12 * 20)
    monkeypatch.setattr(strips, "ACCURACY", 1e-3)
    calls = []
    by_strips = strips.log_abs_det_by_strips

    def spy(stencil, rows, halo, periodic):
        calls.append((rows, halo))
        return by_strips(stencil, rows, halo, periodic)

    monkeypatch.setattr(strips, "log_abs_det_by_strips", spy)
    value = strips.log_abs_det_any_size(stencil, False)
    assert calls, "the strips were not used"
    assert not torch.equal(value, exact)
    torch.testing.assert_close(value, exact, rtol=1e-3, atol=0)
    (approximate,) = torch.autograd.grad(value.sum(), stencil)
    # a cell beside the edge of a halo sees the error exp(−halo/ℓ), the square root of the bound
    assert float((approximate - derivative).abs().max() / derivative.abs().max()) < 0.03


def test_the_error_falls_with_the_square_of_the_decay(oracle):
    stencil = matrices(oracle, 4.0)
    exact = log_abs_det(stencil)
    errors = [
        float((strips.log_abs_det_by_strips(stencil, 16, halo, False) / exact - 1).abs().max())
        for halo in (2, 4, 8, 16)
    ]
    assert errors[0] < 1e-2
    assert errors[3] < 1e-5
    assert all(b < a for a, b in itertools.pairwise(errors)), errors


def test_the_decay_length_is_that_of_the_inverse():
    """Constant coefficients: exp(−μ) is the ratio of successive entries of a column of C⁻¹."""
    column = np.zeros((61, 61))
    column += np.diag(np.full(61, 1 + 0.3 + 2 * 4.0))
    column += np.diag(np.full(60, -4.0), 1) + np.diag(np.full(60, -4.0), -1)
    inverse = np.linalg.inv(column)[:, 30]
    stencil = torch.zeros(1, 9, 5, 5, dtype=torch.float64)
    stencil[:, 4], stencil[:, 1], stencil[:, 7] = 9.3, -4.0, -4.0
    assert strips.decay_length(stencil) == pytest.approx(1 / np.log(inverse[31] / inverse[32]))
    assert strips.decay_length(stencil * 1j) == pytest.approx(1 / np.log(inverse[31] / inverse[32]))


def test_a_halo_wider_than_a_strip_is_refused():
    with pytest.raises(ValueError, match="halo <= rows"):
        strips.log_abs_det_by_strips(torch.zeros(1, 9, 4, 4), 2, 3, False)
