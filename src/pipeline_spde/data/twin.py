"""The twin ocean: a seeded simulation of a meandering jet and its rings, as daily maps.

A two-layer quasi-geostrophic ocean (`quasigeostrophic.py`) on a doubly periodic square holds a
baroclinic jet along its middle, kept up by relaxing the zonal mean of the upper layer. It is spun
up on a coarse mesh, refined, and run day by day; the sea surface height η = f₀ ψ₁ / g is averaged
over each day and evaluated at the cell centres of a latitude-longitude grid whose box lies in the
middle of the square. See docs/twin.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline_spde.config import TwinConfig
from pipeline_spde.data.quasigeostrophic import Spectrum, TwoLayerModel, refine
from pipeline_spde.data.realism import EARTH_ROTATION, GRAVITY
from pipeline_spde.fields import Maps
from pipeline_spde.grids import EARTH_RADIUS_KM, KM_PER_DEGREE, Grid

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

DAY = 86400.0
COURANT_TARGET = 0.65
"""speed · dt / dx that the chosen step keeps to; the flow may speed up within a day."""
COURANT_LIMIT = 0.9
"""Runge-Kutta of order four is stable up to 2.83/π = 0.90 for waves at the Nyquist wavenumber
(the shorter waves of the corners of the spectrum are removed by the filter)."""
SPEED_LIMIT = 8.0
"""m/s; no current of a quasi-geostrophic ocean is that fast."""
LONGEST_STEP = 7200.0
"""Seconds; keeps 12 steps or more in every daily mean."""
FILTER_RATE = 1 / 300.0
"""1/s; damping of the Nyquist wavenumber, fast against the advection of such waves."""
NODES_PER_CELL = 1.55
"""Mesh points per grid cell along its shorter side (the filter damps 2 to 3 mesh sizes)."""
NODES_PER_RADIUS = 1.5
"""Mesh points per deformation radius that growing waves need (coarsest mesh and spin-up)."""
REFINED_DAYS = 30
"""Days of the spin-up that are run on the final mesh."""
FIRST_PERTURBATION = 0.03
"""Standard deviation in m of the random height that starts the instability of the jet."""
LOWEST_LATITUDE = 10.0
"""Degrees; nearer to the equator the flow is not quasi-geostrophic."""


class InstabilityError(RuntimeError):
    """The simulation blew up or its time step is too long; the message says when and what to do."""


def simulate(
    grid: Grid,
    time: NDArray[np.datetime64],
    config: TwinConfig,
    seed: int,
    progress: Progress | None = None,
) -> Maps:
    """Return daily mean sea surface height of the twin ocean.

    Equal arguments give bit-identical maps on one machine with the same library versions; the flow
    is chaotic, so other machines give another ocean of the same statistics.

    Args:
        grid: latitude-longitude grid; its box must fit into the periodic square.
        time: 12:00 UTC stamps of consecutive days.
        config: the ocean.
        seed: seed of the perturbation that starts the spin-up.
        progress: called after every simulated day, spin-up included, with (days done, all days).

    Returns:
        Maps of quantity "ssh" in m on `grid`, NaN on its land; mean of the day around each stamp.

    Raises:
        ValueError: the grid is not one the twin can fill, or the days are not consecutive.
        InstabilityError: the time step is too long for the flow, or the flow blew up.
    """
    _check_days(time)
    sample = height_sampler(grid, config.side_km)
    nodes = config.nodes or mesh_nodes(grid, config)
    fine = ocean(grid, config, nodes)
    coarse = fine.with_nodes(min(nodes, _coarsest_nodes(config)))
    refined_days = min(REFINED_DAYS, config.spin_up_days)
    coarse_days = config.spin_up_days - refined_days
    total = config.spin_up_days + time.size
    logger.info(
        "twin: %d days at %d x %d nodes, then %d days at %d x %d nodes of %.1f km",
        *(coarse_days, coarse.nodes, coarse.nodes),
        *(refined_days + time.size, nodes, nodes, fine.spacing / 1e3),
    )
    height = np.full((time.size, *grid.shape), np.nan, dtype=np.float32)
    state = first_state(coarse, np.random.default_rng(seed), _coriolis(grid))
    daily_means = _two_meshes(coarse, fine, state, coarse_days, total, config.time_step_s)
    for day, mean in enumerate(daily_means):
        kept = day - config.spin_up_days
        if kept >= 0:
            height[kept] = np.where(grid.land, np.nan, sample(mean))
        if progress is not None:
            progress(day + 1, total)
    logger.info("twin: %d daily maps, SSH std %.3f m", time.size, np.nanstd(height))
    return Maps(time=time, grid=grid, height=height, quantity="ssh")


def _two_meshes(
    coarse: TwoLayerModel,
    fine: TwoLayerModel,
    state: Spectrum,
    coarse_days: int,
    days: int,
    time_step: float | None,
) -> Iterator[Spectrum]:
    """Yield the mean ψ₁ spectra of `days` days, the first `coarse_days` on the coarse mesh."""
    for after, mean in run_days(coarse, state, coarse_days, time_step):
        state = after
        yield mean
    for _, mean in run_days(
        fine, refine(state, fine.nodes), days - coarse_days, time_step, coarse_days
    ):
        yield mean


def mesh_nodes(grid: Grid, config: TwinConfig) -> int:
    """Return the points per side of the mesh that suits the grid's cells (even, quick to FFT)."""
    cell_km = min(grid.dy_km, float(grid.dx_km.mean()))
    wanted = NODES_PER_CELL * config.side_km / cell_km
    return max(_quick_size(wanted), _coarsest_nodes(config))


def ocean(grid: Grid, config: TwinConfig, nodes: int) -> TwoLayerModel:
    """Return the dynamics of the twin at the grid's latitude on a mesh of nodes x nodes."""
    side = config.side_km * 1e3
    return TwoLayerModel(
        nodes=nodes,
        side=side,
        deformation_radius=config.deformation_radius_km * 1e3,
        thickness_ratio=config.thickness_ratio,
        beta=2 * EARTH_ROTATION * np.cos(np.radians(_latitude(grid))) / (EARTH_RADIUS_KM * 1e3),
        drag_rate=1 / (config.bottom_drag_days * DAY),
        relaxation_rate=1 / (config.relaxation_days * DAY),
        jet=jet_profile(nodes, side, config.jet_speed, config.jet_width_km * 1e3),
        filter_rate=FILTER_RATE,
        single=True,
    )


def jet_profile(nodes: int, side: float, speed: float, width: float) -> NDArray[np.float64]:
    """Return the eastward speed of the target jet: U sech²((y − y₀)/w) less its mean over y.

    The uniform return flow makes the height periodic. U is raised so that the peak is `speed`.

    Args:
        nodes: points per side.
        side: length of the square in m; the jet lies at y₀ = side/2.
        speed: peak in m/s.
        width: w in m.

    Returns:
        Speed in m/s at y = 0, dy, …, shape (nodes,).
    """
    y = side / nodes * np.arange(nodes) - side / 2
    shape = 1 / np.cosh(y / width) ** 2
    shape -= shape.mean()
    return speed * shape / shape.max()


def first_state(model: TwoLayerModel, rng: np.random.Generator, coriolis: float) -> Spectrum:
    """Return q of the jet plus random upper-layer waves of 2π to 8π deformation radii.

    Args:
        model: the dynamics.
        rng: source of the waves.
        coriolis: f₀ in rad/s, to scale the waves to `FIRST_PERTURBATION` metres.
    """
    jet = model.jet if model.jet is not None else np.zeros(model.nodes)
    flow = scipy.fft.fft(jet)
    ky = model.ky[:, 0].astype(np.float64)
    psi = np.zeros((2, model.nodes, model.nodes // 2 + 1), complex)
    psi[0, :, 0] = np.where(ky == 0, 0, 1j * flow / np.where(ky == 0, 1, ky)) * model.nodes
    noise = model.to_spectrum(rng.standard_normal((model.nodes, model.nodes)))
    length = model.deformation_radius * np.sqrt(model.wavenumber_squared)
    noise = np.where((length > 1 / 4) & (length < 1), noise, 0)
    height = coriolis / GRAVITY * model.to_mesh(noise)
    psi[0] += noise * (FIRST_PERTURBATION / height.std())
    q = model.potential_vorticity(psi)
    return q.astype(np.complex64 if model.single else np.complex128)


def run_days(
    model: TwoLayerModel,
    q: Spectrum,
    days: int,
    time_step: float | None = None,
    first_day: int = 0,
) -> Iterator[tuple[Spectrum, Spectrum]]:
    """Yield (state at the end, mean ψ₁ spectrum) of each day.

    The step is chosen anew each day from the largest speed at its start; a day in which the flow
    outruns its step is run again with a shorter one. A given step is checked, not changed.

    Args:
        model: the dynamics.
        q: state at the start.
        days: number of days.
        time_step: seconds, shortened to a whole number of steps a day; None: chosen.
        first_day: number of the first day, for messages.

    Raises:
        InstabilityError: non-finite or absurdly fast flow, or a given step beyond the CFL limit.
    """
    steps = steps_of_day(model, model.fastest(q), time_step, first_day)
    for day in range(first_day, first_day + days):
        after, mean = _run_day(model, q, steps)
        needed = steps_of_day(model, model.fastest(after), time_step, day, steps)
        if needed * COURANT_TARGET > steps * COURANT_LIMIT:
            after, mean = _run_day(model, q, needed)
            needed = steps_of_day(model, model.fastest(after), time_step, day, needed)
        q, steps = after, needed
        yield q, mean


def _run_day(model: TwoLayerModel, q: Spectrum, steps: int) -> tuple[Spectrum, Spectrum]:
    """Return (state after a day, mean ψ₁ spectrum by the trapezoidal rule, centred on 12:00)."""
    psi = model.streamfunction(q)[0]
    mean = psi / 2
    with np.errstate(over="ignore", invalid="ignore"):  # a blow-up is named after the day
        for _ in range(steps):
            q = model.step(q, DAY / steps)
            psi = model.streamfunction(q)[0]
            mean += psi
        mean -= psi / 2
    return q, mean / steps


def steps_of_day(
    model: TwoLayerModel,
    speed: float,
    time_step: float | None = None,
    day: int = 0,
    steps: int | None = None,
) -> int:
    """Return the number of time steps of a day whose fastest flow is `speed` (m/s).

    Args:
        model: the dynamics, for the mesh size.
        speed: largest speed in m/s.
        time_step: seconds, when given by the configuration; None: chosen.
        day: number of the day, for messages.
        steps: number of steps the day was run with, for messages.

    Raises:
        InstabilityError: see `run_days`.
    """
    step = min(time_step or LONGEST_STEP, DAY)
    where = (
        f"twin: day {day} of the simulation, {model.nodes} nodes of {model.spacing / 1e3:.1f} km"
    )
    if not np.isfinite(speed) or speed > SPEED_LIMIT:
        used = step if steps is None else DAY / steps
        raise InstabilityError(
            f"{where}: the flow reached {speed:.3g} m/s (expected below {SPEED_LIMIT:g} m/s) "
            f"with a time step of {used:.0f} s; leave twin.time_step_s empty, or lower "
            "twin.jet_speed"
        )
    longest = COURANT_TARGET * model.spacing / speed if speed > 0 else LONGEST_STEP
    if time_step is None:
        return int(np.ceil(DAY / min(longest, LONGEST_STEP)))
    courant = speed * step / model.spacing
    if courant > COURANT_LIMIT:
        raise InstabilityError(
            f"{where}: a time step of {step:.0f} s is too long for a flow of {speed:.2f} m/s "
            f"(Courant number {courant:.2f}, at most {COURANT_LIMIT}); set twin.time_step_s to "
            f"{longest:.0f} or less, or leave it empty"
        )
    return int(np.ceil(DAY / step))


def height_sampler(grid: Grid, side_km: float) -> Callable[[Spectrum], NDArray[np.float64]]:
    """Return the function from the spectrum of ψ₁ to height in m at the cell centres.

    The trigonometric series is summed at the cell centres (exact, no interpolation error):
    η(y, x) = f₀/(g N²) Re Σ ψ̂(ky, kx) exp(i ky y) exp(i kx x). The plane's kilometres are those
    at the centre of the box.

    Args:
        grid: latitude-longitude grid, its box centred in the square.
        side_km: side of the periodic square in km.

    Raises:
        ValueError: a Cartesian grid, a box near the equator or larger than the square.
    """
    if grid.kind != "latlon":
        raise ValueError("twin: needs a latitude-longitude grid, got a Cartesian one")
    latitude = _latitude(grid)
    if abs(latitude) < LOWEST_LATITUDE:
        raise ValueError(
            f"twin: the box is centred at {latitude:.1f}°; quasi-geostrophy needs "
            f"{LOWEST_LATITUDE:.0f}° or more from the equator: move `lat`"
        )
    km_lon = KM_PER_DEGREE * np.cos(np.radians(latitude))
    south, north, west, east = grid.bounds
    extent = max((north - south) * KM_PER_DEGREE, (east - west) * km_lon)
    if extent > side_km:
        raise ValueError(
            f"twin: the box is {extent:.0f} km wide, the periodic square {side_km:.0f} km; "
            f"set twin.side_km to {1.05 * extent:.0f} or more, or choose a smaller box"
        )
    half = side_km / 2
    scale = _coriolis(grid) / GRAVITY
    y = (grid.lat - (south + north) / 2) * KM_PER_DEGREE + half
    x = (grid.lon - (west + east) / 2) * km_lon + half

    def sample(psi: Spectrum) -> NDArray[np.float64]:
        nodes = psi.shape[0]
        ky = scipy.fft.fftfreq(nodes, 1 / nodes)
        kx = np.arange(nodes // 2 + 1)
        weight = np.where(kx == 0, 1.0, 2.0)  # the half spectrum stands for both signs of kx
        waves_y = np.exp(2j * np.pi / side_km * np.outer(y, ky))
        waves_x = np.exp(2j * np.pi / side_km * np.outer(kx, x)) * weight[:, None]
        inner = np.abs(ky) < nodes // 2
        series = waves_y[:, inner] @ psi[inner, :-1].astype(complex) @ waves_x[:-1]
        return np.asarray(series.real * (scale / nodes**2))

    return sample


def _latitude(grid: Grid) -> float:
    return float(grid.lat[0] + grid.lat[-1]) / 2


def _coriolis(grid: Grid) -> float:
    """Return f₀ in rad/s at the centre of the box."""
    return float(2 * EARTH_ROTATION * np.sin(np.radians(_latitude(grid))))


def _quick_size(wanted: float) -> int:
    """Return the smallest even size of small prime factors that is `wanted` or more."""
    return 2 * int(scipy.fft.next_fast_len(int(np.ceil(wanted / 2)), real=True))


def _coarsest_nodes(config: TwinConfig) -> int:
    return _quick_size(NODES_PER_RADIUS * config.side_km / config.deformation_radius_km)


def _check_days(time: NDArray[np.datetime64]) -> None:
    steps = np.diff(time.astype("datetime64[D]").astype(int))
    if time.size == 0 or np.any(steps != 1):
        found = "no day" if time.size == 0 else f"steps of {sorted(set(steps.tolist()))} days"
        raise ValueError(f"twin: time must be consecutive days, found {found}")
