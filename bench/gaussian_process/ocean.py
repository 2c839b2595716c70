"""A draw of the SPDE with known Θ, sampled along real orbits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde.assimilation.theta import dynamics
from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.config import ObservationConfig
from pipeline_spde.data.observe import bin_to_grid, simulate_tracks
from pipeline_spde.fields import Maps, Observations, Tracks, daily_stamps
from pipeline_spde.first_guess import PriorLaw
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period
from pipeline_spde.spde import SpdeParameters, SpdePrior

FIRST, DAY = np.datetime64("2012-10-01"), np.timedelta64(1, "D")
REACH = 10  # days around an evaluated one whose observations every method sees
EVALUATION, LEARNING = 40, 60  # days
MISSIONS = ("jason1", "envisat", "swot_nadir")
LAW = PriorLaw(
    range_km=160.0, decorrelation_time_days=12.0, noise_length_km=40.0, noise_order=2, rho=0.45
)
DYNAMICS = dynamics(LAW)
FASTEST = 15.0  # km/day, of the gyre that carries anomalies
SIGMA = (0.10, 0.22)  # m, away from and along the middle latitude


@dataclass(frozen=True, eq=False)
class Ocean:
    """A draw of the prior and what was seen of it.

    Attributes:
        grid: latitude-longitude grid.
        theta: the true parameters, the same on all days, (1, 1, lat, lon).
        truth: maps of all days.
        observations: one sample per pass and cell.
    """

    grid: Grid
    theta: SpdeParameters
    truth: Maps
    observations: Observations

    @property
    def days(self) -> NDArray[np.datetime64]:
        """Calendar days."""
        return self.truth.time.astype("datetime64[D]")

    @property
    def targets(self) -> NDArray[np.datetime64]:
        """Evaluated days; the observations of REACH days around them are seen."""
        return self.days[1 + REACH : 1 + REACH + EVALUATION]

    @property
    def seen(self) -> SuperObservations:
        """The observations that the maps of the evaluated days are made of."""
        ends = (self.targets[0] - REACH * DAY, self.targets[-1] + REACH * DAY)
        found = superobservations(self.observations, self.grid)
        return found.select((found.day >= ends[0]) & (found.day <= ends[1]))

    def period(self, first: int, last: int) -> Period:
        """Return the period between two days by their numbers."""
        return Period(start=self.days[first].item(), end=self.days[last].item())

    @property
    def learning(self) -> Period:
        """The last LEARNING days, whose observations no map of the evaluation sees."""
        return self.period(-LEARNING, -1)

    @property
    def validation(self) -> Period:
        """The learning days whose windows lie inside."""
        return self.period(-LEARNING + REACH, -1 - REACH)

    def true_maps(self, period: Period | None = None) -> Maps:
        """Return the truth of a period, by default of the evaluated days."""
        if period is None:
            return self.truth.between(self.targets[0], self.targets[-1])
        return self.truth.between(period.start, period.end)


def true_theta(
    grid: Grid, sigma: float = 1.0, time: float = 1.0, currents: float = 1.0
) -> SpdeParameters:
    """Return Θ of the ocean, each part times a factor: σ of a jet, currents of a closed gyre."""
    place = [(np.arange(size) + 0.5) / size for size in grid.shape]
    y, x = (torch.as_tensor(axis) for axis in np.meshgrid(*place, indexing="ij"))
    low, high = SIGMA
    deviation = low + (high - low) * torch.exp(-(((y - 0.5) / 0.25) ** 2))
    east = -FASTEST * torch.sin(np.pi * x) * torch.cos(np.pi * y)  # no flow across the walls
    north = FASTEST * torch.cos(np.pi * x) * torch.sin(np.pi * y)
    return SpdeParameters.from_physical(
        sigma * deviation[None, None], LAW.range_km, LAW.range_km, 0.0,
        time * LAW.decorrelation_time_days, currents * east, currents * north,
        dynamics=DYNAMICS,
    )  # fmt: skip


def draw_ocean(cells: int, seed: int, currents: float = 1.0) -> Ocean:
    """Draw an ocean of `cells` × `cells` cells of 0.4° and observe it."""
    side = 0.4 * cells
    grid = Grid.from_bounds((34.0, 34.0 + side), (-66.0, -66.0 + side), 0.4)
    theta, count = true_theta(grid, currents=currents), 1 + 2 * REACH + EVALUATION + LEARNING
    every_day = {name: value.expand(-1, count, -1, -1) for name, value in theta.items()}
    prior = SpdePrior(grid, SpdeParameters(**every_day), **vars(DYNAMICS))
    height = prior.sample(1, torch.Generator().manual_seed(seed))[0, 0].numpy()
    stamps = daily_stamps(FIRST, FIRST + (count - 1) * DAY)
    truth = Maps(stamps, grid, height.astype(np.float32), "ssh")
    tracks = simulate_tracks(truth, MISSIONS, ObservationConfig(), seed)
    tracks = one_sample_per_pass_and_cell(tracks, grid)
    cells_of = bin_to_grid(tracks, grid, stamps, ObservationConfig().representativeness_m)
    return Ocean(grid, theta, truth, Observations(cells_of, tracks, np.zeros(grid.shape)))


def one_sample_per_pass_and_cell(tracks: Tracks, grid: Grid) -> Tracks:
    """Return samples that are linear in the maps: the mean of several in a cell is not quite."""
    row, column, inside = grid.cell_index(tracks.lat, tracks.lon)
    day = tracks.time.astype("datetime64[D]").astype(np.int64)
    label = np.stack([tracks.mission, tracks.pass_id, day, row, column])
    chosen = np.zeros(len(tracks), bool)
    chosen[np.unique(label, axis=1, return_index=True)[1]] = True
    return tracks.select(chosen & inside)
