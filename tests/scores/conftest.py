"""Conformance vector A and small helpers for the score tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr


def _maps(
    values: np.ndarray,
    step: float = 0.05,
    south: float = 33.0,
    west: float = -65.0,
    first: str = "2012-10-22T12:00",
) -> xr.DataArray:
    """Daily maps on a regular grid whose first cell edge is (south, west)."""
    days, rows, columns = values.shape
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": np.datetime64(first, "ns") + np.arange(days) * np.timedelta64(1, "D"),
            "lat": south + step * (np.arange(rows) + 0.5),
            "lon": west + step * (np.arange(columns) + 0.5),
        },
    )


@pytest.fixture(scope="session")
def maps() -> Callable[..., xr.DataArray]:
    return _maps


@pytest.fixture(scope="session")
def vector_a() -> tuple[np.ndarray, np.ndarray]:
    """Truth and map of conformance vector A, shape (42, 200, 200), 1 d, 0.05°, 0.05°."""
    rng = np.random.default_rng(2020)
    white, noise = (rng.standard_normal((42, 200, 200)) for _ in range(2))
    f_t = np.fft.fftfreq(42, 1.0)[:, None, None]
    f_y = np.fft.fftfreq(200, 0.05)[None, :, None]
    f_x = np.fft.fftfreq(200, 0.05)[None, None, :]
    kappa = np.hypot(f_x, f_y)
    amplitude = (1 + (kappa / 0.4) ** 2 + (f_t / 0.05) ** 2) ** -1.6
    spectrum = np.fft.fftn(white) * amplitude
    field = np.fft.ifftn(spectrum).real
    scale = field.std()
    transfer = 1 / (1 + (kappa / 1.1) ** 4 + (np.abs(f_t) / 0.16) ** 4)
    error = np.fft.ifftn(np.fft.fftn(noise) * amplitude).real
    truth = 0.3 + 0.25 * field / scale
    smooth = np.fft.ifftn(spectrum * transfer).real / scale
    return truth, 0.3 + 0.25 * smooth + 0.03 * error / error.std()


@pytest.fixture
def small_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random truth and a map of it, shape (21, 30, 32)."""
    white = rng.standard_normal((2, 21, 30, 32))
    f = np.meshgrid(*(np.fft.fftfreq(n) for n in (21, 30, 32)), indexing="ij")
    shape = 1 / (1 + (f[0] / 0.08) ** 2 + (f[1] ** 2 + f[2] ** 2) / 0.06**2) ** 1.5
    truth = np.fft.ifftn(np.fft.fftn(white[0]) * shape).real
    truth = 0.2 + 0.3 * truth / truth.std()
    return truth, truth + 0.05 * white[1]


def _ensemble(
    rng: np.random.Generator,
    members: int = 24,
    shape: tuple[int, int, int] = (16, 20, 22),
    inflation: float = 1.0,
    calibrated: bool = True,
    step: float = 0.2,
) -> tuple[xr.DataArray, xr.Dataset]:
    """A truth and an ensemble file: truth and (calibrated) members are draws of one Gaussian.

    The spread varies in place and time by a factor of about 7; the raw one is `inflation` times
    as large.
    """
    mean = _maps(0.3 * rng.standard_normal(shape), step=step)
    std = 0.05 * np.exp(0.5 * rng.standard_normal(shape))
    truth = mean + std * rng.standard_normal(shape)
    draws = mean.values + inflation * std * rng.standard_normal((members, *shape))
    data = xr.Dataset(
        {
            "ssh": (("realization", *mean.dims), draws),
            "ssh_mean": mean,
            "ssh_std": (mean.dims, inflation * std),
        },
        attrs={"quantity": "ssh"},
    )
    if calibrated:
        data["ssh_std_calibrated"] = (mean.dims, std)
    return truth, data


@pytest.fixture(scope="session")
def ensemble_case() -> Callable[..., tuple[xr.DataArray, xr.Dataset]]:
    return _ensemble
