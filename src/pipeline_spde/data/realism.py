"""How real a simulated ocean looks: spectra, variability and persistence of its height.

The same estimators are applied to a simulation and to reference fields at the same resolution;
only such pairs of numbers are comparable.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRAVITY = 9.81
EARTH_ROTATION = 7.2921e-5  # rad/s
DEFAULT_LATITUDE = 38.0
"""Centre of the Gulf Stream box, degrees north."""
SLOPE_BANDS_KM = ((300.0, 100.0), (100.0, 30.0))
LAG_DAYS = (1, 5, 10, 20)

_LABELS = {
    "ssh_std_m": ("standard deviation of SSH", "m"),
    "anomaly_std_m": ("standard deviation of the anomaly from the time mean", "m"),
    "local_std_min_m": ("smallest local standard deviation in time", "m"),
    "local_std_max_m": ("largest local standard deviation in time", "m"),
    "one_day_change_m": ("rms change in one day", "m"),
    "decorrelation_days": ("decorrelation time (1/e)", "days"),
    "geostrophic_speed_rms": ("rms geostrophic speed", "m/s"),
}


def isotropic_spectrum(
    height: ArrayLike, dx_km: float, dy_km: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the isotropic wavenumber spectrum E(k) of maps, averaged over time.

    Each map loses its least-squares plane and is multiplied by a two-dimensional Hann window;
    E(k) = 2πk · ⟨P(kx, ky)⟩ is the azimuthal mean of the periodogram P over rings as wide as the
    larger of the two fundamental wavenumbers, so that ∫ E dk is the variance. The window leaks:
    on a box of 900 km, slopes of −4 to −5 come out 0.3 to 0.5 too steep at 300–100 km and right
    within 0.1 at 100–30 km (tests/data/test_realism.py), the same for whatever is compared.

    Args:
        height: m, finite, shape (time, lat, lon).
        dx_km: zonal cell size in km.
        dy_km: meridional cell size in km.

    Returns:
        Wavenumber in cycles/km (ring means) and E in m² per (cycle/km), both of shape (ring,), up
        to the lower of the two Nyquist wavenumbers.
    """
    maps = np.asarray(height, dtype=np.float64)
    _, ny, nx = maps.shape
    window = np.hanning(ny)[:, None] * np.hanning(nx)
    power = np.zeros((ny, nx))
    for flat in _without_plane(maps):
        power += np.abs(np.fft.fft2(flat * window)) ** 2
    power *= dx_km * dy_km / (len(maps) * np.sum(window**2))
    ky = np.fft.fftfreq(ny, dy_km)[:, None]
    kx = np.fft.fftfreq(nx, dx_km)[None, :]
    k = np.hypot(kx, ky).ravel()
    width = max(1 / (nx * dx_km), 1 / (ny * dy_km))
    rings = int(0.5 / max(dx_km, dy_km) / width)
    ring = np.floor(k / width + 0.5).astype(int)
    count = np.bincount(ring)[1 : rings + 1]
    mean_k = np.bincount(ring, k)[1 : rings + 1] / count
    mean_power = np.bincount(ring, power.ravel())[1 : rings + 1] / count
    return mean_k, 2 * np.pi * mean_k * mean_power


def spectral_slope(
    height: ArrayLike, dx_km: float, dy_km: float, band_km: tuple[float, float]
) -> float | None:
    """Return the log-log slope of the isotropic spectrum between two wavelengths.

    The slope is the least-squares line through log E against log k of the rings in the band, each
    weighted by the width it covers in log k (1/k), so that the many rings at the short end do not
    decide alone.

    Args:
        height: m, finite, shape (time, lat, lon).
        dx_km: zonal cell size in km.
        dy_km: meridional cell size in km.
        band_km: (longest, shortest) wavelength in km.

    Returns:
        The slope, or None when the band is not resolved (its short end is beyond the Nyquist
        wavelength, or fewer than three rings fall into it).
    """
    longest, shortest = band_km
    if shortest < 2 * max(dx_km, dy_km):
        return None
    k, energy = isotropic_spectrum(height, dx_km, dy_km)
    inside = (k >= 1 / longest) & (k <= 1 / shortest)
    if inside.sum() < 3:
        return None
    x, y = np.log(k[inside]), np.log(energy[inside])
    return float(np.polyfit(x, y, 1, w=np.sqrt(1 / k[inside]))[0])


def lag_correlation(anomaly: ArrayLike, lag_days: int) -> float:
    """Return Σ a(t)·a(t+lag) / Σ a² over all cells and days, with a the anomaly in m.

    Args:
        anomaly: anomaly from the time mean on consecutive days, shape (time, …).
        lag_days: lag in days, smaller than the number of days.

    Raises:
        ValueError: the record is not longer than the lag, or nothing varies.
    """
    values = np.asarray(anomaly, dtype=np.float64)
    if not 0 < lag_days < len(values):
        raise ValueError(f"a lag of {lag_days} days needs a longer record than {len(values)} days")
    early, late = values[:-lag_days], values[lag_days:]
    scale = np.sqrt(np.mean(early**2) * np.mean(late**2))
    if scale == 0:
        raise ValueError("the anomaly is zero everywhere; a correlation does not exist")
    return float(np.mean(early * late) / scale)


def decorrelation_time(anomaly: ArrayLike) -> float | None:
    """Return the lag in days where the lag correlation first falls below 1/e (interpolated).

    None when it does not do so within half of the record.
    """
    values = np.asarray(anomaly, dtype=np.float64)
    before = 1.0
    for lag in range(1, len(values) // 2 + 1):
        now = lag_correlation(values, lag)
        if now < np.exp(-1):
            return float(lag - 1 + (before - np.exp(-1)) / (before - now))
        before = now
    return None


def geostrophic_speed_rms(
    height: ArrayLike, dx_km: float, dy_km: float, latitude: float = DEFAULT_LATITUDE
) -> float:
    """Return the rms of |g/f ∇h| in m/s by centred differences on the interior cells.

    Args:
        height: m, shape (time, lat, lon); cells beside a NaN are left out.
        dx_km: zonal cell size in km.
        dy_km: meridional cell size in km.
        latitude: degrees north, for the Coriolis parameter f = 2Ω sin φ.
    """
    maps = np.asarray(height, dtype=np.float64)
    slope_x = (maps[:, 1:-1, 2:] - maps[:, 1:-1, :-2]) / (2e3 * dx_km)
    slope_y = (maps[:, 2:, 1:-1] - maps[:, :-2, 1:-1]) / (2e3 * dy_km)
    coriolis = 2 * EARTH_ROTATION * np.sin(np.radians(latitude))
    return float(GRAVITY / abs(coriolis) * np.sqrt(np.nanmean(slope_x**2 + slope_y**2)))


def realism(
    height: ArrayLike, dx_km: float, dy_km: float, latitude: float = DEFAULT_LATITUDE
) -> dict[str, float]:
    """Return the statistics of daily height maps by name.

    Args:
        height: m on consecutive days, NaN on land, shape (time, lat, lon), two days or more.
        dx_km: zonal cell size in km.
        dy_km: meridional cell size in km.
        latitude: degrees north, for the geostrophic speed only.

    Returns:
        `ssh_std_m`, `anomaly_std_m`, `local_std_min_m`, `local_std_max_m`, `one_day_change_m`,
        `geostrophic_speed_rms` (m/s) and, where they exist, `slope_300_100_km` and
        `slope_100_30_km` (resolved, no land), `correlation_1_days` … `correlation_20_days` (lag
        shorter than a third of the record) and `decorrelation_days`.

    Raises:
        ValueError: the shape is wrong, or a map is not finite where another one is.
    """
    maps = np.asarray(height, dtype=np.float64)
    ocean = _checked_ocean(maps)
    series = maps[:, ocean]
    anomaly = series - series.mean(axis=0)
    local = anomaly.std(axis=0)
    found = {
        "ssh_std_m": float(series.std()),
        "anomaly_std_m": float(anomaly.std()),
        "local_std_min_m": float(local.min()),
        "local_std_max_m": float(local.max()),
        "one_day_change_m": float(np.sqrt(np.mean(np.diff(series, axis=0) ** 2))),
        "geostrophic_speed_rms": geostrophic_speed_rms(maps, dx_km, dy_km, latitude),
    }
    if ocean.all():
        for band in SLOPE_BANDS_KM:
            slope = spectral_slope(maps, dx_km, dy_km, band)
            if slope is not None:
                found[f"slope_{band[0]:.0f}_{band[1]:.0f}_km"] = slope
    if local.max() > 0:
        lags = [lag for lag in LAG_DAYS if 3 * lag < len(maps)]
        found |= {f"correlation_{lag}_days": lag_correlation(anomaly, lag) for lag in lags}
        time = decorrelation_time(anomaly)
        if time is not None:
            found["decorrelation_days"] = time
    return found


def describe(statistics: Mapping[str, float]) -> str:
    """Return the statistics of `realism` as one line of text each; other names are left out."""
    lines = [
        f"{label}: {statistics[name]:.3g} {unit}"
        for name, (label, unit) in _LABELS.items()
        if name in statistics
    ]
    for longest, shortest in SLOPE_BANDS_KM:
        name = f"slope_{longest:.0f}_{shortest:.0f}_km"
        if name in statistics:
            band = f"{longest:.0f}–{shortest:.0f} km"
            lines.append(f"spectral slope of SSH, {band}: {statistics[name]:.2f}")
    for lag in LAG_DAYS:
        name = f"correlation_{lag}_days"
        if name in statistics:
            lines.append(f"correlation of the anomaly at {lag} days: {statistics[name]:.2f}")
    return "\n".join(lines)


def _checked_ocean(maps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the cells that are finite on every day; refuse gaps that come and go."""
    if maps.ndim != 3 or len(maps) < 2 or min(maps.shape[1:]) < 3:
        raise ValueError(
            f"height has shape {maps.shape}; expected (time, lat, lon) of 2 days or more and "
            "3 x 3 cells or more"
        )
    finite = np.isfinite(maps)
    ocean = np.asarray(finite.all(axis=0))
    if np.any(finite.any(axis=0) & ~ocean) or not ocean.any():
        raise ValueError(
            f"{int((finite.any(axis=0) & ~ocean).sum())} cells are finite on some days only and "
            f"{int(ocean.sum())} on all; only land may be NaN, and on every day"
        )
    return ocean


def _without_plane(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the maps less their least-squares planes a + b·x + c·y."""
    _, ny, nx = maps.shape
    y = np.linspace(-1, 1, ny)[:, None] * np.ones(nx)
    x = np.linspace(-1, 1, nx) * np.ones((ny, 1))
    # the three shapes are orthogonal on a regular grid, so each is removed by itself
    flat = maps.copy()
    for shape in (np.ones((ny, nx)), x, y):
        share = np.tensordot(maps, shape, axes=2) / np.sum(shape**2)
        flat -= share[:, None, None] * shape
    return flat
