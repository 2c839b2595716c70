"""Stencil products and the nested-dissection LU against dense linear algebra."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.spde.factor import Factor, log_abs_det, solve
from pipeline_spde.spde.stencil import OFFSETS, outer, product, transposed_product


def dense(stencil, periodic):
    """The matrix of each stencil of a batch, entry by entry."""
    batch, _, ny, nx = stencil.shape
    matrix = torch.zeros(batch, ny * nx, ny * nx, dtype=stencil.dtype)
    for k, (dj, di) in enumerate(OFFSETS):
        for j in range(ny):
            for i in range(nx):
                jj, ii = j + dj, (i + di) % nx if periodic else i + di
                if 0 <= jj < ny and 0 <= ii < nx:
                    matrix[:, j * nx + i, jj * nx + ii] = stencil[:, k, j, i]
    return matrix


def random_stencil(batch, ny, nx, dtype=torch.float64, seed=0):
    """Non-symmetric, diagonally dominant; entries that point outside must not matter."""
    generator = torch.Generator().manual_seed(seed)
    stencil = 0.3 * torch.randn(batch, 9, ny, nx, dtype=dtype, generator=generator)
    stencil[:, 4] += 4
    return stencil


@given(
    ny=st.integers(1, 17),
    nx=st.integers(1, 19),
    periodic=st.booleans(),
    complex_valued=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_products_determinant_inverse_and_solves_equal_dense(
    ny, nx, periodic, complex_valued, seed
):
    periodic = periodic and nx >= 3
    dtype = torch.complex128 if complex_valued else torch.float64
    stencil = random_stencil(2, ny, nx, dtype, seed)
    matrix, n = dense(stencil, periodic), ny * nx
    x = torch.randn(2, ny, nx, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    column = x.reshape(2, n, 1)
    assert torch.allclose(product(stencil, x, periodic).reshape(2, n, 1), matrix @ column)
    assert torch.allclose(
        transposed_product(stencil, x, periodic).reshape(2, n, 1), matrix.mT @ column
    )
    factor = Factor(stencil, periodic)
    assert torch.allclose(
        factor.log_abs_det, torch.linalg.slogdet(matrix)[1], rtol=1e-12, atol=1e-11
    )
    rhs = torch.cat([column, 2 * column + 1], dim=2)
    assert torch.allclose(factor.solve(rhs), torch.linalg.solve(matrix, rhs), atol=1e-12)
    assert torch.allclose(factor.solve(rhs, True), torch.linalg.solve(matrix.mT, rhs), atol=1e-12)
    entries = dense(factor.inverse_entries(), periodic)  # D[p, p + k] = inverse[p + k, p]
    pattern = dense(torch.ones(2, 9, ny, nx), periodic) > 0
    expected = torch.linalg.inv(matrix).mT
    assert torch.allclose(entries[pattern], expected[pattern], atol=1e-12)


@pytest.mark.parametrize(
    ("ny", "nx", "periodic"),
    [pytest.param(40, 37, False, marks=pytest.mark.slow), (31, 44, True)],
)
def test_larger_grids_with_several_levels(ny, nx, periodic):
    stencil = random_stencil(2, ny, nx)
    matrix = dense(stencil, periodic)
    factor = Factor(stencil, periodic)
    torch.testing.assert_close(
        factor.log_abs_det, torch.linalg.slogdet(matrix)[1], rtol=1e-12, atol=0
    )
    rhs = torch.randn(
        2, ny * nx, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    torch.testing.assert_close(matrix @ factor.solve(rhs), rhs, rtol=0, atol=1e-12)
    torch.testing.assert_close(matrix.mT @ factor.solve(rhs, True), rhs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("periodic", [False, True])
def test_derivatives_of_the_determinant_and_of_solves(dtype, periodic):
    stencil = random_stencil(2, 4, 8, dtype).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: log_abs_det(c, periodic), (stencil,), fast_mode=True)
    rhs = torch.randn(3, 2, 4, 8, dtype=dtype, requires_grad=True)
    small = random_stencil(1, 3, 4, dtype).requires_grad_()
    b = torch.randn(1, 3, 4, dtype=dtype, requires_grad=True)
    for transpose in (False, True):

        def f(c, r, transpose=transpose):
            return solve(c, r, Factor(c, periodic), transpose)

        assert torch.autograd.gradcheck(f, (stencil, rhs), fast_mode=True)
        assert torch.autograd.gradgradcheck(f, (small, b), fast_mode=True)


def test_the_derivative_of_the_determinant_enters_second_derivatives_as_a_value():
    """d/dw of w·∂log|det C| is exact; the derivative of the inverse itself is left out."""
    stencil = random_stencil(1, 4, 4).requires_grad_()
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    value = weight * log_abs_det(stencil.square()).sum()
    (first,) = torch.autograd.grad(value, stencil, create_graph=True)
    inverse = Factor(stencil.detach().square()).inverse_entries()
    torch.testing.assert_close(first.detach(), 4 * inverse * stencil.detach())
    by_weight, by_stencil = torch.autograd.grad(first.sum(), (weight, stencil))
    torch.testing.assert_close(by_weight, first.sum().detach() / 2)
    torch.testing.assert_close(by_stencil, 4 * inverse)


@pytest.mark.parametrize("periodic", [False, True])
def test_products_are_differentiable_twice(periodic):
    stencil = random_stencil(1, 3, 4).requires_grad_()
    x = torch.randn(2, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    for function in (product, transposed_product):

        def f(c, v, function=function):
            return function(c, v, periodic).square()

        assert torch.autograd.gradcheck(f, (stencil, x), fast_mode=True)
        assert torch.autograd.gradgradcheck(f, (stencil, x), fast_mode=True)


def test_outer_is_the_derivative_of_a_bilinear_form():
    stencil = random_stencil(1, 5, 4).requires_grad_()
    left, right = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    (left * product(stencil, right)).sum().backward()
    torch.testing.assert_close(stencil.grad, outer(left, right, False))


def test_determinant_sums_in_double_precision():
    stencil = random_stencil(1, 60, 60)
    exact = Factor(stencil, keep=False).log_abs_det
    single = Factor(stencil.float(), keep=False).log_abs_det
    assert single.dtype == torch.float64
    # single precision rounding of 3600 pivots averages out; a float32 sum alone loses 1e-6
    torch.testing.assert_close(single, exact, rtol=3e-7, atol=0)


def test_samples_have_the_inverse_as_covariance():
    stencil = -0.4 * torch.ones(1, 9, 7, 8, dtype=torch.float64)
    stencil[:, 4] = 4
    matrix = dense(stencil, False)[0]
    white = torch.eye(56, dtype=torch.float64)[None]
    root = Factor(stencil).sample(white)[0]  # exact: the map from white noise is linear
    torch.testing.assert_close(root @ root.T, torch.linalg.inv(matrix), rtol=1e-10, atol=1e-13)


def test_a_narrow_circle_is_refused():
    with pytest.raises(ValueError, match="at least 3 columns"):
        Factor(random_stencil(1, 4, 2), periodic=True)
