"""A dense float64 oracle of the prior, written from the formulas with loops and plain numpy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, SpdeParameters, SpdePrior


def diffusion_matrix(grid, kappa, h_ee, h_en, h_nn, robin=1.0):
    """K from the energy, quadrant by quadrant; zero rows on land."""
    ny, nx = grid.shape
    ocean, dx, dy = grid.ocean, grid.dx_km, grid.dy_km
    energy = np.zeros((ny * nx, ny * nx))

    def at(j, i):
        i = i % nx if grid.periodic else i
        return j * nx + i if 0 <= j < ny and 0 <= i < nx and ocean[j, i] else None

    for j in range(ny):
        for i in range(nx):
            v = at(j, i)
            if v is None:
                continue
            area = dx[j] * dy
            energy[v, v] += area * kappa[j, i] ** 2
            if not grid.periodic:
                energy[v, v] += (
                    robin * kappa[j, i] * h_ee[j, i] ** 0.5 * dy * ((i == 0) + (i == nx - 1))
                )
            energy[v, v] += (
                robin * kappa[j, i] * h_nn[j, i] ** 0.5 * dx[j] * ((j == 0) + (j == ny - 1))
            )
            for sx in (-1, 1):
                for sy in (-1, 1):
                    gx, gy = np.zeros(ny * nx), np.zeros(ny * nx)
                    x, y = at(j, i + sx), at(j + sy, i)
                    if x is not None:
                        gx[x] += sx / dx[j]
                        gx[v] -= sx / dx[j]
                    if y is not None:
                        gy[y] += sy / dy
                        gy[v] -= sy / dy
                    both = np.outer(gx, gy)
                    energy += (
                        0.25
                        * area
                        * (
                            h_ee[j, i] * np.outer(gx, gx)
                            + h_en[j, i] * (both + both.T)
                            + h_nn[j, i] * np.outer(gy, gy)
                        )
                    )
    return energy / grid.area_km2.ravel()[:, None]


def advection_matrix(grid, m_east, m_north):
    """S from the fluxes through faces between ocean cells."""
    ny, nx = grid.shape
    ocean, dx, dy = grid.ocean, grid.dx_km, grid.dy_km
    flux = np.zeros((ny * nx, ny * nx))
    for j in range(ny):
        for i in range(nx):
            east = (i + 1) % nx if grid.periodic else i + 1
            if east < nx and ocean[j, i] and ocean[j, east]:
                f = 0.5 * (m_east[j, i] + m_east[j, east]) * dy
                flux[j * nx + i, j * nx + east] += f / 2
                flux[j * nx + east, j * nx + i] -= f / 2
            if j + 1 < ny and ocean[j, i] and ocean[j + 1, i]:
                f = 0.5 * (m_north[j, i] * dx[j] + m_north[j + 1, i] * dx[j + 1])
                flux[j * nx + i, (j + 1) * nx + i] += f / 2
                flux[(j + 1) * nx + i, j * nx + i] -= f / 2
    return flux / grid.area_km2.ravel()[:, None]


def dense_prior(grid, theta, entry=0, robin=1.0, **settings):
    """Q over ocean cells of the window, its covariance, and the parts."""
    d = {
        "dt": 1.0,
        "alpha": 2,
        "scheme": "backward_euler",
        "noise": "white",
        "rho": 0.0,
        "substeps": 1,
    }
    d |= settings
    dt, rho, power = d["dt"], d["rho"], d["alpha"] // 2
    share = 1.0 if d["scheme"] == "backward_euler" else 0.5
    wet = np.flatnonzero(grid.ocean.ravel())
    n, days = wet.size, theta.kappa.shape[1]
    cut = np.ix_(wet, wet)
    eye = np.eye(n)
    f = {
        name: np.where(grid.land, 1.0, v[entry].detach().double().numpy())
        for name, v in theta.items()
    }
    area = grid.area_km2.ravel()[wet]

    def k_at(t):
        return diffusion_matrix(grid, *(f[c][t] for c in ("kappa", "h_ee", "h_en", "h_nn")), robin)[
            cut
        ]

    def step(t, weight):
        k = np.linalg.matrix_power(k_at(t), power)
        if "m_east" not in f:
            return eye + weight * dt * k
        s = advection_matrix(grid, f["m_east"][t], f["m_north"][t])[cut]
        if power == 1 and d["substeps"] == 1:
            return eye + weight * dt * (k + s)
        small = eye + weight * dt / d["substeps"] * s
        return np.linalg.matrix_power(small, d["substeps"]) @ (eye + weight * dt * k)

    g = eye
    if d["noise"] != "white":
        one = np.ones(grid.shape)
        square = one * d["noise"].length_km ** 2
        g = np.linalg.matrix_power(
            diffusion_matrix(grid, one, square, 0 * one, square)[cut], d["noise"].order
        )

    def noise(t):
        gt = g / f["tau"][t].ravel()[wet][None, :]
        return gt.T @ (area[:, None] * gt) / dt

    k0 = dt * np.linalg.matrix_power(k_at(0), power)
    a0, b0 = eye + share * k0, eye - (1 - share) * k0
    gt0 = g / f["tau"][0].ravel()[wet][None, :]

    def start(m):
        return gt0.T @ (area[:, None] * (m @ gt0)) / dt

    left = np.zeros((days * n, days * n))  # x -> (x0, e1, e2, ...)
    inner = np.zeros_like(left)  # precision of those

    def block(t):
        return slice(t * n, (t + 1) * n)

    left[block(0), block(0)] = eye
    for t in range(1, days):
        left[block(t), block(t)] = step(t, share)
        left[block(t), block(t - 1)] = -step(t, share - 1)
    if rho == 0:
        inner[block(0), block(0)] = start(k0 @ (a0 + b0))
        first = 1
    else:
        inverse = np.linalg.inv(a0)
        to_pair = np.block([[eye, 0 * eye], [inverse @ b0, inverse]])  # (x0, e1) -> (x0, x1~)
        turn = np.block([[eye, eye], [eye, -eye]]) / np.sqrt(2)
        memory = a0 - rho * b0
        diagonal = np.zeros((2 * n, 2 * n))
        diagonal[:n, :n] = (1 - rho) * start(memory @ k0)
        diagonal[n:, n:] = (1 + rho) * start(memory @ (a0 + b0))
        pair = to_pair.T @ turn.T @ diagonal @ turn @ to_pair
        inner[: 2 * n, : 2 * n] = pair
        first = 2
    chain = np.eye(days * n)
    for t in range(first, days):
        inner[block(t), block(t)] = noise(t)
        chain[block(t), block(t - 1)] = -rho * eye
    whole = chain @ left
    q = whole.T @ inner @ whole
    return SimpleNamespace(
        q=q, covariance=np.linalg.inv(q), wet=wet, days=days, n=n, step=step, k=k_at
    )


def random_theta(
    grid, batch=1, days=3, seed=0, currents=True, scale=1.0, speed=8.0, dtype=torch.float64
):
    """Smooth-free, strongly variable, anisotropic fields: the worst case for a discretisation."""
    rng = np.random.default_rng(seed)

    def noise(lo, hi):
        return torch.as_tensor(rng.uniform(lo, hi, (batch, days, *grid.shape)), dtype=dtype)

    size = scale * grid.dy_km**2
    g, vx, vy = noise(0.3, 1) * size, noise(-1, 1) * size**0.5, noise(-1, 1) * size**0.5
    m = (noise(-speed, speed), noise(-speed, speed)) if currents else (None, None)
    return SpdeParameters(
        noise(0.2, 0.6), *m, g + vx**2, vx * vy, g + vy**2, noise(0.5, 2) * grid.dy_km
    )


GRIDS = {
    "odd": Grid.cartesian(5, 7, 10.0, 8.5),
    "tall": Grid.cartesian(9, 4, 10.0, 14.0),
    "masked": Grid.latlon(
        40 + 0.25 * np.arange(6),
        -60 + 0.25 * np.arange(7),
        land=np.isin(np.arange(42).reshape(6, 7), [0, 1, 7, 17, 18, 24, 41]),
    ),
    "periodic": Grid.cartesian(6, 5, 9.0, 11.0, periodic=True),
    "globe": Grid.latlon(
        np.linspace(-60, 60, 7),
        np.arange(-180, 180, 60.0),
        land=np.isin(np.arange(42).reshape(7, 6), [5, 6, 20]),
        periodic=True,
    ),
}
SETTINGS = {
    "plain": {},
    "crank_nicolson": {"scheme": "crank_nicolson", "dt": 0.7},
    "fourth_order": {"alpha": 4},
    "fourth_order_cn": {"alpha": 4, "scheme": "crank_nicolson", "substeps": 2},
    "substeps": {"substeps": 3},
    "memory": {"rho": 0.45},
    "memory_cn": {"rho": 0.6, "scheme": "crank_nicolson"},
    "memory_fourth": {"rho": 0.3, "alpha": 4, "dt": 0.5},
    "coloured": {"noise": Coloured(15.0)},
    "everything": {
        "noise": Coloured(12.0, 2),
        "rho": 0.45,
        "scheme": "crank_nicolson",
        "substeps": 2,
    },
}


@pytest.fixture(params=GRIDS)
def grid(request):
    return GRIDS[request.param]


@pytest.fixture(params=SETTINGS)
def settings(request):
    return SETTINGS[request.param]


@pytest.fixture(scope="session")
def oracle():
    """The functions above, for test modules."""
    return SimpleNamespace(
        dense_prior=dense_prior,
        random_theta=random_theta,
        grids=GRIDS,
        settings=SETTINGS,
        diffusion_matrix=diffusion_matrix,
        advection_matrix=advection_matrix,
        prior=make_prior,
    )


def make_prior(
    grid,
    seed=0,
    batch=1,
    days=3,
    currents=True,
    scale=1.0,
    speed=8.0,
    dtype=torch.float64,
    **settings,
):
    theta = random_theta(grid, batch, days, seed, currents, scale, speed, dtype)
    return SpdePrior(grid, theta, **settings)
