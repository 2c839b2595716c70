"""Spectral figures: resolved scales in space and time, spectra of truth and error.

Layouts expected (computed elsewhere, see docs/scores.md):

* score field: Dataset with dims (frequency [1/day], wavenumber [1/degree]), both > 0 and
  increasing, and the variable `score` = 1 − P(error) / P(truth) [1];
* one-dimensional spectra: Dataset with dim wavenumber [1/km or 1/degree, see its `units`] and the
  variables `truth` and `error` [m² per unit wavenumber], optionally `estimate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from pipeline_spde.figures import style

SCORE_LEVELS = np.linspace(0.0, 1.0, 11)
Lengths = Mapping[str, Any]


def score_contours(
    fields: Mapping[str, xr.Dataset], lengths: Mapping[str, Lengths] | None = None
) -> Figure:
    """Show where in wavelength and period each method beats an error as large as the signal.

    One panel per method with the score in colour and its 0.5 contour; λx and λt are marked by
    dashed lines. The last panel puts the 0.5 contours of all methods together.

    Args:
        fields: method -> score field.
        lengths: method -> {"lambda_x": degrees, "lambda_t": days}; each a number, None or a
            mapping with "value" (None: not resolved). Scales in another unit must be left out.
    """
    methods = style.in_order(fields)
    if not methods:
        raise ValueError("nothing to draw: no method given")
    lengths = lengths or {}
    columns = min(len(methods) + 1, 4)
    rows = -(-(len(methods) + 1) // columns)
    with style.context():
        figure = style.new_figure(0.5 + 1.9 * rows)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        flat = list(grid.ravel())
        together = flat[len(methods)]
        for axes, name in zip(flat, methods, strict=False):
            mesh = _draw_score_field(axes, fields[name])
            _mark_lengths(axes, lengths.get(name, {}))
            axes.set_title(style.method_look(name).label)
            _draw_half_line(together, fields[name], style.method_look(name).colour)
        together.set_title("0.5 contours")
        looks = [style.method_look(name) for name in methods]
        together.legend(
            handles=[Line2D([], [], color=look.colour, label=look.label) for look in looks],
            loc="upper right",
            handlelength=1.2,
        )
        for axes in flat[len(methods) + 1 :]:
            axes.set_visible(False)
        _score_axes(grid, fields[methods[0]])
        figure.colorbar(mesh, ax=flat, label="spectral score [1]", extend="min", aspect=30)
    return figure


def resolved_scales(
    fields: Mapping[str, xr.Dataset],
    zonal: Mapping[str, xr.Dataset],
    scores: Mapping[str, Mapping[str, Any]],
) -> tuple[Figure, Figure]:
    """Draw the score contours with the scales of `starter`, and the spectra with λx of `ssh-v1`.

    Args:
        fields: as in `score_contours`.
        zonal: as in `psd`.
        scores: method -> content of its score file; a protocol that is not there marks nothing.
    """
    found = {name: content["protocols"] for name, content in scores.items()}
    lengths = {name: protocols.get("starter", {}) for name, protocols in found.items()}
    resolved = {name: p["ssh-v1"]["lambda_x"] for name, p in found.items() if "ssh-v1" in p}
    return score_contours(fields, lengths), psd(zonal, resolved)


def psd(spectra: Mapping[str, xr.Dataset], resolved: Mapping[str, Any] | None = None) -> Figure:
    """Draw the spectra of the truth and of every method's error; the resolved scale is marked.

    Left: power spectral densities. Right: their ratio as the score 1 − error/truth, with the level
    0.5 where the resolved scale is read.

    Args:
        spectra: method -> one-dimensional spectra; the truth of the first one is drawn.
        resolved: method -> resolved wavelength in the inverse of the wavenumber's unit: a number,
            None (not resolved) or a mapping with "value".
    """
    methods = style.in_order(spectra)
    if not methods:
        raise ValueError("nothing to draw: no method given")
    first = spectra[methods[0]]
    unit = _length_unit(first)
    with style.context():
        figure = style.new_figure(2.9)
        power, score = figure.subplots(1, 2, sharex=True)
        wavenumber = first["wavenumber"].values
        power.loglog(wavenumber, first["truth"].values, color=style.TRUTH.colour, label="truth")
        for name in methods:
            _draw_method_spectrum(power, score, name, spectra[name])
            scale = _value((resolved or {}).get(name))
            if scale is not None:
                look = style.method_look(name)
                score.axvline(1 / scale, color=look.colour, linestyle=":", linewidth=1)
        score.axhline(0.5, color="0.5", linewidth=0.8)
        score.set_ylim(-0.1, 1.05)
        score.set_ylabel("score 1 − error/truth [1]")
        power.set_ylabel(f"power spectral density [m²/(1/{unit})]")
        for axes in (power, score):
            _wavelength_axis(axes, wavenumber, unit)
            axes.grid()
        power.legend(loc="lower left")
        score.legend(_resolved_lines(score, methods), _resolved_texts(methods, resolved, unit))
    return figure


def isotropic(spectra: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw isotropic wavenumber spectra of fields, e.g. of the simulated truth and of references.

    Args:
        spectra: name -> columns `wavenumber` [1/km] and `psd`, as `isotropic_spectrum` returns.
    """
    with style.context():
        figure = style.new_figure(2.8, 3.4)
        draw_isotropic(figure.subplots(), spectra)
    return figure


def draw_isotropic(axes: Axes, spectra: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the spectra of `isotropic` on given axes, with a slope of −5 for comparison."""
    wavenumber = np.array([])
    for number, (name, spectrum) in enumerate(spectra.items()):
        colour = style.TRUTH.colour if number == 0 else f"C{number - 1}"
        wavenumber, power = np.asarray(spectrum["wavenumber"]), np.asarray(spectrum["psd"])
        axes.loglog(wavenumber, power, color=colour, label=name.replace("_", " "))
        if number == 0:
            middle = slice(power.size // 4, max(3 * power.size // 4, power.size // 4 + 2))
            k = wavenumber[middle]
            axes.loglog(k, 3 * power[middle][0] * (k / k[0]) ** -5, color="0.6", linestyle=":")
            axes.text(k[-1], 3 * power[middle][0] * (k[-1] / k[0]) ** -5, "$k^{-5}$")
    _wavelength_axis(axes, wavenumber, "km")
    axes.set_ylabel("power spectral density [m²/(1/km)]")
    axes.grid()
    if len(spectra) > 1:
        axes.legend()


def isotropic_spectrum(
    height: NDArray[np.floating], dx_km: float, dy_km: float
) -> dict[str, NDArray[np.float64]]:
    """Return the azimuthally integrated spectrum of maps, averaged over time.

    Each map is freed of its plane trend and tapered by a Hann window; |FFT|² is summed over
    rings of the width of the coarser wavenumber step, so that the spectrum integrates to the
    variance of the tapered field (divided by the mean square of the window).

    Args:
        height: maps without missing values, shape (time, lat, lon).
        dx_km: zonal cell size.
        dy_km: meridional cell size.

    Returns:
        {"wavenumber": 1/km, "psd": m²/(1/km)}, both (rings,), up to the smaller Nyquist number.

    Raises:
        ValueError: missing values (a box with land has no plain Fourier spectrum).
    """
    maps = np.asarray(height, dtype=np.float64)
    if not np.isfinite(maps).all():
        raise ValueError("the maps hold missing values; choose a box without land")
    _, ny, nx = maps.shape
    window = np.outer(_hann(ny), _hann(nx))
    power = np.zeros((ny, nx))
    for field in maps:
        power += np.abs(np.fft.fft2(_detrended(field) * window)) ** 2
    power /= maps.shape[0] * (nx * ny) ** 2 * np.mean(window**2)
    k = np.hypot(np.fft.fftfreq(ny, dy_km)[:, None], np.fft.fftfreq(nx, dx_km)[None, :])
    step = max(1 / (nx * dx_km), 1 / (ny * dy_km))
    ring = np.floor(k / step + 0.5).astype(int)
    last = int(min(0.5 / dx_km, 0.5 / dy_km) / step)
    total = np.bincount(ring.ravel(), power.ravel())[1 : last + 1]
    return {"wavenumber": step * np.arange(1, last + 1), "psd": total / step}


def _hann(size: int) -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size))


def _detrended(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the field less its least-squares plane."""
    ny, nx = field.shape
    y, x = (np.linspace(-1, 1, n) for n in (ny, nx))
    slope_y = np.sum(field * y[:, None]) / (nx * np.sum(y**2))
    slope_x = np.sum(field * x[None, :]) / (ny * np.sum(x**2))
    return np.asarray(field - field.mean() - slope_y * y[:, None] - slope_x * x[None, :])


def _wavelengths(field: xr.Dataset) -> tuple[NDArray, NDArray]:
    """Return wavelengths in degrees and periods in days."""
    return 1 / field["wavenumber"].values, 1 / field["frequency"].values


def _score(field: xr.Dataset) -> NDArray:
    return np.asarray(field["score"].transpose("frequency", "wavenumber").values)


def _draw_score_field(axes: Axes, field: xr.Dataset) -> Any:
    """Draw score and 0.5 line over wavelength and period: λ is read by interpolation in these."""
    wavelength, period = _wavelengths(field)
    mesh = axes.contourf(
        wavelength, period, _score(field), SCORE_LEVELS, cmap=style.SCORE_MAP, extend="min"
    )
    _draw_half_line(axes, field, "black")
    return mesh


def _draw_half_line(axes: Axes, field: xr.Dataset, colour: str) -> None:
    """Draw the 0.5 contour unless the score never crosses it."""
    score = _score(field)
    finite = score[np.isfinite(score)]
    if finite.size and finite.min() < 0.5 < finite.max():
        axes.contour(*_wavelengths(field), score, [0.5], colors=[colour], linewidths=1.3)


def _score_axes(grid: NDArray, field: xr.Dataset) -> None:
    """Set logarithmic axes that run from large to small scales, with plain numbers."""
    wavelength, period = _wavelengths(field)
    corner = grid[0, 0]
    corner.set_xscale("log")
    corner.set_yscale("log")
    corner.set_xlim(wavelength.max(), wavelength.min())
    corner.set_ylim(period.max(), period.min())
    for axis, values in ((corner.xaxis, wavelength), (corner.yaxis, period)):
        _plain_log_ticks(axis, values.min(), values.max())
    for axes in grid[-1]:
        axes.set_xlabel("wavelength [degree]")
    for axes in grid[:, 0]:
        axes.set_ylabel("period [day]")


def _plain_log_ticks(axis: Any, low: float, high: float) -> None:
    ticks = [m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)]
    axis.set_major_locator(FixedLocator([t for t in ticks if low * 0.999 <= t <= high * 1.001]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _mark_lengths(axes: Axes, lengths: Lengths) -> None:
    """Mark λx and λt by dashed lines and write their values, or that they are not resolved."""
    texts = []
    for key, symbol, unit in (("lambda_x", "λx", "°"), ("lambda_t", "λt", " d")):
        if key not in lengths:
            continue
        value = _value(lengths[key])
        texts.append(f"{symbol} unresolved" if value is None else f"{symbol} {value:.2f}{unit}")
        if value is not None:
            draw = axes.axvline if key == "lambda_x" else axes.axhline
            draw(value, color="black", linestyle="--", linewidth=0.8)
    if texts:
        style.corner_text(axes, "\n".join(texts))


def _value(length: Any) -> float | None:
    """Return the number of a plain value or of a result {"value": …}; None when unresolved."""
    value = length.get("value") if isinstance(length, Mapping) else length
    return None if value is None else float(value)


def _length_unit(data: xr.Dataset) -> str:
    """Return "km" or "degree" from the unit of the wavenumber."""
    units = str(data["wavenumber"].attrs.get("units", ""))
    for unit in ("km", "degree"):
        if unit in units:
            return unit
    raise ValueError(f"wavenumber has units {units!r}; expected 1/km or 1/degree")


def _wavelength_axis(axes: Axes, wavenumber: NDArray, unit: str) -> None:
    """Label a logarithmic wavenumber axis by wavelengths."""
    axes.set_xscale("log")
    low, high = 1 / wavenumber.max(), 1 / wavenumber.min()
    ticks = [m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)]
    axes.xaxis.set_major_locator(
        FixedLocator([1 / t for t in ticks if low * 0.999 <= t <= high * 1.001])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{1 / k:.4g}" if k > 0 else ""))
    axes.set_xlabel(f"wavelength [{unit}]")


def _draw_method_spectrum(power: Axes, score: Axes, name: str, data: xr.Dataset) -> None:
    look = style.method_look(name)
    wavenumber = data["wavenumber"].values
    error = data["error"].values
    label = f"error of {look.label}"
    power.loglog(wavenumber, error, color=look.colour, linestyle=look.dashes, label=label)
    ratio = 1 - error / data["truth"].values
    score.plot(wavenumber, ratio, color=look.colour, linestyle=look.dashes, label=name)


def _resolved_lines(axes: Axes, methods: list[str]) -> list[Any]:
    return [line for line in axes.lines if line.get_label() in methods]


def _resolved_texts(methods: list[str], resolved: Mapping[str, Any] | None, unit: str) -> list[str]:
    texts = []
    for name in methods:
        label = style.method_look(name).label
        if resolved is None or name not in resolved:
            texts.append(label)
            continue
        value = _value(resolved[name])
        texts.append(f"{label}: unresolved" if value is None else f"{label}: {value:.3g} {unit}")
    return texts
