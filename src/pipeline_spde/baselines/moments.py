"""Stationary parameters of the SPDE prior by matching space-time correlations.

The free likelihood of daily maps is no way to them: a step from one day to the next does not see
the damping, so κ² runs to zero and takes the stationary variance to infinity, while the fit of the
steps hardly changes. Here the anomalies are divided by their local standard deviation first and
only the *shape* of the covariance, C(r, lag) / C(0, 0), is compared: σ is no parameter of the fit,
and a κ² near zero would show as a correlation that never decays. τ follows from σ afterwards.

    empirical   ĉ(r, l) = Σ z(x, t) z(x + d, t + l) / number of pairs,   |d| near r,  z = x / std
    model       `spde.spectra.correlation_function`
    weights     1 / s²,   s² = (SHAPE_ERROR · (1 − ĉ + FLOOR))² + (1 + noise)² / pairs

A record of few eddies knows a structure function 1 − ĉ to a relative error: the curvature at the
origin, which holds small scales and ρ, counts as much as the decay. The second part of s is the
error of counting. Correlations beyond FIT_DISTANCE_KM or FIT_LAG_DAYS are left out: their errors
are those of a few large eddies, common to all bins. Root mean square relative errors of range, T, ℓ
and ρ over twelve draws (range 160–400 km, T 12 d, 60 × 60 cells, 200 days): 24, 19, 14 and 7 % for
full maps, 26, 18, 25 and 14 % for a tenth of the cells with noise; with every bin up to 300 km and
10 days 37, 24, 36 and 20 %, and 37, 23, 44 and 23 %.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares
from scipy.special import expit, logit

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics
from pipeline_spde.spde.dynamics import Scheme
from pipeline_spde.spde.spectra import correlation_function

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHAPE_ERROR = 0.1
"""Relative sampling error of the empirical structure function; see the module's docstring."""
FLOOR = 0.05
"""Structure below which errors are no longer relative."""
FIT_DISTANCE_KM = 150.0
FIT_LAG_DAYS = 5
_STARTS = ((0.5, 0.5, 0.5, 0.5), (0.3, 0.6, 0.2, 0.7), (0.7, 0.3, 0.6, 0.4))  # between the bounds
_FEW = 1e-3  # observations near a cell, relative to the mean, that count as none


@dataclass(frozen=True, eq=False)
class EmpiricalCorrelation:
    """Binned space-time correlation of normalised anomalies.

    Attributes:
        distance_km: root mean square distance of the pairs of each bin (where a parabola takes its
            bin mean), the first bin is r = 0, shape (distances,).
        lag_days: shape (lags,).
        correlation: mean products over their value at r = 0 and lag 0 where the noise is known;
            NaN where there is no pair or the noise is not known, shape (distances, lags).
        pairs: number of pairs, shape (distances, lags).
        variance: mean square of the normalised anomalies without noise, near 1; 1 if not known.
        noise: mean noise variance over the local variance.
    """

    distance_km: Array
    lag_days: NDArray[np.int64]
    correlation: Array
    pairs: Array
    variance: float = 1.0
    noise: float = 0.0


def empirical_correlation(
    value: Array,
    observed: Mask,
    std: Array,
    lags: Sequence[int] | NDArray[np.int64],
    grid: Grid,
    *,
    noise_variance: float | Array | None = 0.0,
    max_distance_km: float = 300.0,
    bin_km: float | None = None,
) -> EmpiricalCorrelation:
    """Return mean products of normalised anomalies by distance and lag, over all pairs of cells.

    Sums come from zero-padded FFTs of the masked fields, for every displacement at once, and are
    pooled by distance whatever the direction.

    Args:
        value: daily anomalies, m; anything where not observed, shape (time, lat, lon). About the
            mean of the record itself they lack its slowest part, and so does the correlation.
        observed: True where there is a value, shape (time, lat, lon). All true for full maps.
        std: local standard deviation of the anomalies without noise, m, > 0, shape (lat, lon).
        lags: non-negative lags in days, 0 among them.
        grid: frame of the maps; the mean zonal cell size is used in every row.
        noise_variance: variance of the noise in m², a number or a field that broadcasts to `value`,
            subtracted from the product at r = 0 and lag 0; None, not known, leaves that product
            out. The noise is taken as independent between cells and days.
        max_distance_km: largest distance.
        bin_km: width of the bins; by default the larger side of a cell.

    Raises:
        ValueError: shapes, std or lags are not as above, nothing is observed, or all is noise.
    """
    steps = _checked_lags(value, observed, std, lags, grid)
    mask, safe_std = observed & grid.ocean, np.where(grid.ocean, std, 1.0)
    z = np.where(mask, value, 0.0) / safe_std
    bins, squares = _distance_bins(grid, max_distance_km, bin_km)
    products, pairs = _sums_by_displacement(z, mask.astype(np.float64), steps, bins.shape)
    total, number = _pooled(products, bins), _pooled(pairs, bins)
    mean_square = _pooled(pairs * squares, bins).sum(axis=1) / np.maximum(number.sum(axis=1), 1)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    zero = int(np.flatnonzero(steps == 0)[0])
    variance, noise = 1.0, 0.0
    if noise_variance is None:
        mean[0, zero] = np.nan
    else:
        noise = float((np.broadcast_to(noise_variance, value.shape) / safe_std**2)[mask].mean())
        variance = _without_noise(float(mean[0, zero]), noise)
        mean[0, zero] = variance
        mean /= variance
    number[1:, zero] /= 2  # each pair of one day is met from both ends
    kept = number.sum(axis=1) > 0
    distance = np.sqrt(mean_square[kept])
    return EmpiricalCorrelation(distance, steps, mean[kept], number[kept], variance, noise)


def _checked_lags(
    value: Array, observed: Mask, std: Array, lags: Sequence[int] | NDArray[np.int64], grid: Grid
) -> NDArray[np.int64]:
    """Return the lags as integers, after a check of all arguments."""
    steps, ocean = np.asarray(lags, dtype=np.int64), grid.ocean
    if value.ndim != 3 or value.shape[1:] != grid.shape or observed.shape != value.shape:
        raise ValueError(
            f"value and observed must be (time, {grid.shape[0]}, {grid.shape[1]}), got "
            f"{value.shape} and {observed.shape}"
        )
    if std.shape != grid.shape or not np.all(std[ocean] > 0):
        raise ValueError(f"std must be {grid.shape} and > 0 on the ocean, got shape {std.shape}")
    if steps.ndim != 1 or 0 not in steps or steps.min() < 0 or steps.max() >= value.shape[0]:
        raise ValueError(
            f"lags must hold 0 and lie between 0 and {value.shape[0] - 1} days, got {steps}"
        )
    chosen = value[observed & ocean]
    if chosen.size == 0 or not np.all(np.isfinite(chosen)):
        raise ValueError(
            f"{chosen.size} ocean values are observed and {np.isfinite(chosen).sum()} are finite: "
            "need at least one, and all finite"
        )
    return steps


def _without_noise(mean_square: float, noise: float) -> float:
    """Return the mean square of the signal."""
    if mean_square <= noise:
        raise ValueError(
            f"the anomalies have a mean square of {mean_square:.3g}, no more than the {noise:.3g} "
            "of their noise; check noise_variance"
        )
    return mean_square - noise


def _sums_by_displacement(
    z: Array, mask: Array, steps: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return Σ z(x, t) z(x + d, t + lag) and the number of terms, (lags, *shape), d = 0 amid."""
    ny, nx = z.shape[1:]
    reach = [n // 2 for n in shape]
    size = (next_fast_len(ny + reach[0], real=True), next_fast_len(nx + reach[1], real=True))
    sums = np.zeros((2, steps.size, size[0], size[1] // 2 + 1), dtype=np.complex128)
    held: deque[NDArray[np.complex128]] = deque(maxlen=int(steps.max()) + 1)
    for today in range(z.shape[0]):
        held.appendleft(rfft2(np.stack([z[today], mask[today]]), s=size))
        for place, lag in enumerate(steps):
            if lag < len(held):
                sums[:, place] += held[lag].conj() * held[0]
    products, pairs = irfft2(sums, s=size)
    near = np.ix_(np.arange(steps.size), *(np.arange(-n, n + 1) for n in reach))
    return products[near], np.rint(pairs[near])


def _distance_bins(
    grid: Grid, max_distance_km: float, bin_km: float | None
) -> tuple[NDArray[np.int64], Array]:
    """Return the bin of every displacement, −1 beyond the largest distance, and its km²."""
    dy, dx = grid.dy_km, float(grid.dx_km.mean())
    if max_distance_km < max(dy, dx) or (bin_km is not None and bin_km <= 0):
        raise ValueError(
            f"need max_distance_km ≥ {max(dy, dx):.1f} (a cell) and bin_km > 0, got "
            f"{max_distance_km} and {bin_km}"
        )
    reach = (
        min(int(max_distance_km / d), n - 1) for d, n in zip((dy, dx), grid.shape, strict=True)
    )
    rows, columns = (np.arange(-n, n + 1) for n in reach)
    squares = (rows[:, None] * dy) ** 2 + (columns * dx) ** 2
    distance = np.sqrt(squares)
    width = max(dy, dx) if bin_km is None else bin_km
    # r = 0 holds the noise and stays alone
    bins = np.where(squares > 0, np.maximum(np.rint(distance / width), 1), 0).astype(np.int64)
    return np.where(distance <= max_distance_km, bins, -1), squares


def _pooled(fields: Array, bins: NDArray[np.int64]) -> Array:
    """Return the sums over displacements of each bin, (bins, lags), of fields (lags, ...)."""
    inside = bins >= 0
    return np.stack([np.bincount(bins[inside], weights=f[inside]) for f in fields], axis=1)


def local_std(
    value: Array,
    observed: Mask,
    noise_variance: float | Array,
    smoothing_cells: float,
    grid: Grid,
    *,
    floor: float = 0.1,
) -> Array:
    """Return the local standard deviation of anomalies without their noise, m, (lat, lon).

    Sums of squares less noise, and numbers of observations, are smoothed by the same Gaussian and
    divided: nothing leaks in from land, unobserved cells or beyond the box. Where no observation is
    near, the value is that of the whole domain.

    Args:
        value: anomalies, m; anything where not observed, shape (time, lat, lon).
        observed: True where there is a value, shape (time, lat, lon).
        noise_variance: variance of the noise, m², a number or a field that broadcasts to `value`.
        smoothing_cells: standard deviation of the Gaussian in cells; 0 for none.
        grid: frame of the maps.
        floor: lowest value, as a share of the domain's standard deviation.

    Returns:
        Standard deviation, > 0; the domain's on land.

    Raises:
        ValueError: shapes do not agree, nothing is observed, or all is noise.
    """
    _checked_lags(value, observed, np.ones(grid.shape), [0], grid)
    if smoothing_cells < 0 or not 0 < floor < 1:
        raise ValueError(f"need smoothing_cells ≥ 0, 0 < floor < 1: {smoothing_cells}, {floor}")
    mask = observed & grid.ocean
    squares = (np.where(mask, value, 0.0) ** 2).sum(axis=0)
    noises = np.where(mask, noise_variance, 0.0).sum(axis=0)
    count = mask.sum(axis=0).astype(np.float64)
    total = count.sum()
    domain = _without_noise(float(squares.sum() / total), float(noises.sum() / total))
    width = (0, smoothing_cells, smoothing_cells)
    modes = ("constant", "constant", "wrap" if grid.periodic else "constant")
    weight, excess = gaussian_filter(np.stack([count, squares - noises]), width, mode=modes)
    known = grid.ocean & (weight > _FEW * total / grid.ocean.sum())
    variance = np.where(known, excess / np.where(known, weight, 1.0), domain)
    return np.sqrt(np.maximum(variance, floor**2 * domain))


@dataclass(frozen=True)
class FitBounds:
    """Limits (lowest, highest) of the parameters of `fit_stationary`."""

    range_km: tuple[float, float] = (40.0, 1000.0)
    decorrelation_time_days: tuple[float, float] = (1.0, 100.0)
    noise_length_km: tuple[float, float] = (5.0, 150.0)
    rho: tuple[float, float] = (1e-3, 0.95)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            if not 0 < low < high or (name == "rho" and high >= 1):
                raise ValueError(f"bounds of {name} must satisfy 0 < low < high: {low}, {high}")


_BOUNDS = FitBounds()


@dataclass(frozen=True)
class StationaryFit:
    """Parameters that reproduce an empirical correlation; σ is not among them.

    Attributes:
        range_km: √8 √(h/κ²).
        decorrelation_time_days: κ^−α.
        noise_length_km: ℓ; 0 for white noise.
        rho: correlation of the noise from one step to the next.
        misfit: root mean square of model − empirical correlation, weighted as in the fit.
        alpha, noise_order, scheme, cell_km: as given to `fit_stationary`.
        at_bounds: names of the parameters that ended at a bound.
    """

    range_km: float
    decorrelation_time_days: float
    noise_length_km: float
    rho: float
    misfit: float
    alpha: int = 2
    noise_order: int = 2
    scheme: Scheme = "backward_euler"
    cell_km: tuple[float, float] | None = None
    at_bounds: tuple[str, ...] = ()

    @property
    def dynamics(self) -> Dynamics:
        """Settings of the prior, with steps of one day."""
        colour = Coloured(self.noise_length_km, self.noise_order) if self.noise_order else None
        return Dynamics(1.0, self.alpha, self.scheme, colour or "white", self.rho)

    def correlation(self, distance_km: Array, lag_days: NDArray[np.int64]) -> Array:
        """Return the correlation of the prior, (distances, lags)."""
        model = correlation_function(
            *(torch.as_tensor(axis) for axis in (distance_km, lag_days)),
            decorrelation_time=self.decorrelation_time_days,
            range_km=self.range_km,
            dynamics=self.dynamics,
            cell_km=self.cell_km,
        )
        return np.asarray(model)


def fit_stationary(
    empirical: EmpiricalCorrelation,
    *,
    alpha: int = 2,
    noise_order: int = 2,
    scheme: Scheme = "backward_euler",
    noise_length_km: float | None = None,
    rho: float | None = None,
    bounds: FitBounds = _BOUNDS,
    cell_km: tuple[float, float] | None = None,
    max_distance_km: float = FIT_DISTANCE_KM,
    max_lag_days: int = FIT_LAG_DAYS,
    warn: bool = True,
) -> StationaryFit:
    """Return range, decorrelation time, noise length and ρ that reproduce a correlation.

    Weighted least squares in log or logit parameters, from several starts; for the weights, and
    why σ is not fitted, see the module.

    Args:
        empirical: correlation of the anomalies, lags in days; the step of the model is a day.
        alpha: 2 or 4.
        noise_order: 1 or 2 for coloured noise, 0 for white noise.
        scheme: time scheme of the prior.
        noise_length_km: ℓ to hold fixed; fitted when omitted.
        rho: ρ to hold fixed; fitted when omitted.
        bounds: limits of the fitted parameters.
        cell_km: (dy, dx) of the grid, see `correlation_function`.
        max_distance_km: largest distance used.
        max_lag_days: largest lag used.
        warn: say which parameters ended at a bound.

    Raises:
        ValueError: fewer correlations than parameters, or a fixed value that is not allowed.
    """
    held = {"noise_length_km": noise_length_km if noise_order else 0.0, "rho": rho}
    fixed = {name: value for name, value in held.items() if value is not None}
    free = [name for name in vars(bounds) if name not in fixed]
    used, weight = _fit_weights(empirical, max_distance_km, max_lag_days)
    if used.sum() <= len(free):
        raise ValueError(
            f"{used.sum()} correlations up to {max_distance_km} km and {max_lag_days} days cannot "
            f"determine {len(free)} parameters; use more distances, lags or observations"
        )

    def fit_of(u: Array) -> StationaryFit:
        inverse = {name: expit if name == "rho" else np.exp for name in free}
        v = fixed | {name: float(inverse[name](x)) for name, x in zip(free, u, strict=True)}
        physical = (v["range_km"], v["decorrelation_time_days"], v["noise_length_km"], v["rho"])
        return StationaryFit(*physical, 0.0, alpha, noise_order, scheme, cell_km)

    def residuals(u: Array) -> Array:
        model = fit_of(u).correlation(empirical.distance_km, empirical.lag_days)
        return np.asarray((model - empirical.correlation)[used] * weight)

    real = {name: logit if name == "rho" else np.log for name in free}
    low, high = np.array([real[name](getattr(bounds, name)) for name in free]).T
    starts = [low + (high - low) * np.array(start[: len(free)]) for start in _STARTS]
    found = [least_squares(residuals, start, bounds=(low, high), x_scale=0.3) for start in starts]
    best = min(found, key=lambda result: float(result.cost))
    near = np.minimum(best.x - low, high - best.x) < 1e-3 * (high - low)
    ends = tuple(np.array(free)[near].tolist())
    if ends and warn:
        logger.warning("moment matching ended at the bounds of %s", ", ".join(ends))
    misfit = float(np.sqrt(np.sum(best.fun**2) / np.sum(weight**2)))
    return replace(fit_of(best.x), misfit=misfit, at_bounds=ends)


def _fit_weights(
    empirical: EmpiricalCorrelation, max_distance_km: float, max_lag_days: int
) -> tuple[Mask, Array]:
    """Return which correlations are used, (distances, lags), and 1/s of those."""
    e = empirical
    used = np.isfinite(e.correlation) & (e.pairs > 0)
    used &= (e.distance_km <= max_distance_km)[:, None] & (e.lag_days <= max_lag_days)
    used &= (e.distance_km > 0)[:, None] | (e.lag_days > 0)  # one by normalisation
    structure = 1 - np.clip(e.correlation[used], 0, 1) + FLOOR
    counting = (1 + e.noise) ** 2 / e.pairs[used]
    return used, 1 / np.sqrt((SHAPE_ERROR * structure) ** 2 + counting)
