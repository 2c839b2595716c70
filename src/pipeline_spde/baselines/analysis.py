"""Parameters of the tuned optimal interpolation, and its maps for given parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import CellAnomalies, Days, window_index
from pipeline_spde.baselines.conjugate import GridModes, solve
from pipeline_spde.baselines.covariance import gaussian_modes, plane_axes_km
from pipeline_spde.files import DataError, read_json
from pipeline_spde.grids import Grid

Array = NDArray[np.float64]

_AXIS_TOLERANCE = 1e-8  # variance left out of the mean; far below any observation error
_BATCH_BYTES = 20e6


@dataclass(frozen=True)
class OiParameters:
    """Parameters of the tuned optimal interpolation.

    Attributes:
        length_km: L of exp(−(d/L)²), the same in both directions.
        length_days: the same in time.
        noise_factor: multiplies the observations' own error.
        prior_std_m: standard deviation of the anomalies in m.
    """

    length_km: float
    length_days: float
    noise_factor: float
    prior_std_m: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> OiParameters:
        """Return the parameters held by the result of `tuning.tune`."""
        return cls(**{name: float(found[name]) for name in cls.__dataclass_fields__})

    @classmethod
    def read(cls, path: Path) -> OiParameters:
        """Return the parameters of a JSON file written by the tuning.

        Raises:
            DataError: the file is damaged or does not hold every parameter.
        """
        found = read_json(path)
        missing = [name for name in cls.__dataclass_fields__ if name not in found]
        if missing:
            raise DataError(f"{path}: {missing} not found; it holds {sorted(found)}; tune again")
        return cls.from_mapping(found)


def mean_maps(
    cells: CellAnomalies,
    grid: Grid,
    targets: Days,
    offsets: NDArray[np.int64],
    parameters: OiParameters,
    iterations: int,
) -> Array:
    """Return the analysed anomaly of each target day in m, shape (targets, lat, lon).

    Args:
        cells: the observations.
        grid: their grid.
        targets: days to map, datetime64[D].
        offsets: days relative to the target whose observations are used.
        parameters: covariance and noise.
        iterations: largest number of conjugate-gradient steps.
    """
    y, x, circle = plane_axes_km(grid)
    time = gaussian_modes(np.union1d(offsets, [0]), parameters.length_days, _AXIS_TOLERANCE)
    lat = gaussian_modes(y, parameters.length_km, _AXIS_TOLERANCE)
    lon = gaussian_modes(x, parameters.length_km, _AXIS_TOLERANCE, circle)
    modes = GridModes(_single(time(offsets)), _single(lat(y)), _single(lon(x)))
    at_target = GridModes(_single(time([0.0])), modes.lat, modes.lon)
    places = window_index(cells, targets, offsets)
    size = max(1, int(_BATCH_BYTES / (4 * offsets.size * grid.lat.size * grid.lon.size)))
    maps = np.empty((targets.size, *grid.shape))
    for start in range(0, targets.size, size):
        values, weights = _windows(cells, places[start : start + size], parameters)
        z = solve(modes, _single(values), _single(weights), iterations)
        maps[start : start + size] = parameters.prior_std_m * at_target.expand(z)[:, 0]
    return maps


def _single(array: Array) -> NDArray[np.float32]:
    return array.astype(np.float32)


def _windows(
    cells: CellAnomalies, places: NDArray[np.int64], parameters: OiParameters
) -> tuple[Array, Array]:
    """Return values and weights of windows in units of the prior, (targets, window, lat, lon)."""
    held = (places >= 0)[:, :, None, None]
    observed = cells.observed[places] & held
    value = np.where(observed, cells.value[places] / parameters.prior_std_m, 0.0)
    ratio = (parameters.prior_std_m / parameters.noise_factor) ** 2
    variance = np.where(observed, cells.variance[places], 1.0)
    return value, np.where(observed, ratio / variance, 0.0)
