"""The UNet: what it may see, its shapes, its checkpoint, and its maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from pipeline_spde import methods
from pipeline_spde.assimilation.checkpoint import StateCheckpoint, load_weights
from pipeline_spde.assimilation.costs import masked_heights, observation_weight
from pipeline_spde.assimilation.start import first_guess
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.baselines.unet import UNet
from pipeline_spde.config import (
    NETWORK_CONFIGS,
    AnyNetworkConfig,
    MapRequest,
    PatchConfig,
    StateModelConfig,
    UNetConfig,
    load,
)
from pipeline_spde.fields import GriddedObservations, Observations, Tracks, daily_stamps
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.networks import trained, untrained
from pipeline_spde.periods import Period, Task
from pipeline_spde.products import figure_names
from pipeline_spde.stages import TrainStage, stage_json

SPACING = (20.0, 18.0)
WHOLE = PatchConfig(lat=11, lon=13, stride_lat=11, stride_lon=13)


def network(seed: int = 0, **changes: Any) -> UNet:
    """A small network whose last convolution is not zero, as after training."""
    torch.manual_seed(seed)
    model = UNet(UNetConfig(**{"window_days": 3, "channels": 4} | changes), SPACING)
    with torch.no_grad():
        model.residual.weight.normal_(std=0.1)
    return model.eval()


def inputs(seed: int = 0, shape: tuple[int, ...] = (2, 3, 7, 9)) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    heights = torch.randn(shape, generator=generator)
    observed = torch.rand(shape, generator=generator) < 0.3
    error = 0.05 + 0.1 * torch.rand(shape, generator=generator)
    ocean = torch.ones(shape[0], *shape[2:], dtype=torch.bool)
    ocean[:, :2, :3] = False
    return heights, observed, error, ocean


@pytest.mark.parametrize("start", ["oi", "smooth", "zeros"])
@settings(max_examples=8, deadline=None)
@given(
    junk=st.sampled_from([0.0, 1e30, -3.0, float("nan"), float("inf"), float("-inf")]),
    junk_error=st.sampled_from([0.0, -1.0, 0.1, float("nan"), float("inf")]),
    seed=st.integers(0, 1000),
)
def test_values_under_the_mask_never_matter(
    start: str, junk: float, junk_error: float, seed: int
) -> None:
    model = network(start=start)
    heights, observed, error, ocean = inputs(seed)
    hidden = ~(observed & ocean[:, None])
    expected = model(heights, observed, error, ocean)
    changed = model(
        heights.masked_fill(hidden, junk), observed, error.masked_fill(hidden, junk_error), ocean
    )
    assert torch.isfinite(expected).all()
    assert torch.equal(expected, changed)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_heights_mask_and_errors_matter_where_observed(part: int) -> None:
    model = network()
    arguments = list(inputs())
    _, observed, _, ocean = arguments
    seen = tuple((observed & ocean[:, None]).nonzero()[0])
    changed = arguments[part].clone()
    changed[seen] = False if part == 1 else 3 * changed[seen]
    expected = model(*arguments)
    arguments[part] = changed
    assert not torch.equal(model(*arguments), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 13), st.integers(1, 13), st.integers(1, 4))
def test_any_number_of_cells(rows: int, columns: int, levels: int) -> None:
    shape = (1, 3, rows, columns)
    heights, observed, error, ocean = inputs(shape=shape)
    state = network(levels=levels)(heights, observed, error, torch.ones_like(ocean))
    assert state.shape == shape and torch.isfinite(state).all()


def test_padding_is_unobserved_ocean() -> None:
    """Seven rows and nine columns give what they give as a part of 8 x 12 cells."""
    model = network(start="zeros")
    heights, observed, error, ocean = inputs()
    wider = [
        torch.nn.functional.pad(part.float(), (0, 3, 0, 1)).to(part.dtype)
        for part in (heights, observed, error, ocean)
    ]
    expected = model(*wider)[..., :7, :9]
    torch.testing.assert_close(model(heights, observed, error, ocean), expected)


@pytest.mark.parametrize("start", ["oi", "smooth", "zeros"])
def test_an_untrained_network_returns_its_first_guess(start: str) -> None:
    model = UNet(UNetConfig(window_days=3, start=start), SPACING)
    heights, observed, error, ocean = inputs()
    seen = observed & ocean[:, None]
    other = (25.0, 30.0)
    weight = observation_weight(error, seen)
    guess = first_guess(masked_heights(heights, seen), weight, model.config, other)
    assert torch.equal(model(heights, observed, error, ocean, other), guess)
    assert guess.any() == (start != "zeros")


def test_without_levels_below_the_first_it_is_a_plain_convolution() -> None:
    assert len(network(levels=1).up) == 0
    widths = [block[0].out_channels for block in network(levels=4).down]  # type: ignore[index]
    assert widths == [4, 8, 16, 32]


def test_every_parameter_learns() -> None:
    model = network()
    model(*inputs()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_samples_do_not_influence_each_other_and_calls_leave_no_trace() -> None:
    model, batch = network(), inputs()
    with torch.no_grad():
        both = model(*batch)
        alone = model(*(part[1:] for part in batch))
        again = model(*batch)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)
    assert torch.equal(both, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(2, 5, 7, 9)}, "expected .batch, 3, lat, lon., 3 being the window_days"),
        ({1: torch.zeros(2, 3, 7, 9)}, "observed must be a boolean mask, got torch.float32"),
        ({2: torch.zeros(2, 3, 7, 8)}, "error has shape .2, 3, 7, 8., height_anomaly has"),
        ({3: torch.ones(9, 9, dtype=torch.bool)}, "ocean has shape .9, 9."),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change: dict[int, Tensor], message: str) -> None:
    arguments = [change.get(i, part) for i, part in enumerate(inputs())]
    with pytest.raises(ValueError, match=message):
        network()(*arguments)


def checkpoint_of(model: StateSolver | UNet, task: str = "mapping") -> StateCheckpoint:
    return StateCheckpoint(
        model=model.config, weights=model.state_dict(), task=task, mean=1.6, std=0.25,
        spacing_km=model.spacing_km, seed=0, config_hash="0", version="test",
    )  # fmt: skip


def test_a_checkpoint_gives_back_the_same_network(tmp_path: Path) -> None:
    model = network()
    path, again = tmp_path / "unet.ckpt", tmp_path / "again.ckpt"
    checkpoint_of(model).save(path)
    loaded = StateCheckpoint.load(path)
    assert loaded.model == model.config and loaded.model.method == "unet"
    restored = trained(loaded)
    assert isinstance(restored, UNet) and not restored.training
    assert torch.equal(restored(*inputs()), model(*inputs()))
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_a_checkpoint_that_names_no_network_is_one_of_the_4dvarnet(tmp_path: Path) -> None:
    solver = untrained(StateModelConfig(window_days=3, hidden=4, prior_hidden=4), SPACING)
    path = tmp_path / "state.ckpt"
    checkpoint_of(solver).save(path)
    content = torch.load(path, weights_only=True)
    assert content["about"].pop("method") == "4dvarnet"
    torch.save(content, path)
    assert isinstance(trained(StateCheckpoint.load(path)), StateSolver)


def test_a_checkpoint_of_an_unknown_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.ckpt"
    checkpoint_of(network()).save(path)
    content = torch.load(path, weights_only=True)
    content["about"]["method"] = "transformer"
    torch.save(content, path)
    with pytest.raises(DataError, match=r"'transformer'.*train it again"):
        StateCheckpoint.load(path)


@pytest.mark.parametrize("method", NETWORK_CONFIGS)
def test_settings_of_a_network_are_read_back_as_its_own(method: str) -> None:
    """A stage receives them as JSON that names no method: the keys have to tell them apart."""
    kind = NETWORK_CONFIGS[method]
    assert kind.method == method
    reader: TypeAdapter[Any] = TypeAdapter(AnyNetworkConfig)
    assert type(reader.validate_json(kind().model_dump_json())) is kind


def test_weights_of_another_architecture_are_refused() -> None:
    weights = network().state_dict()
    with pytest.raises(ValueError, match=r"another architecture: down.0.0.weight: .* instead of"):
        load_weights(network(channels=8), weights)
    solver = StateSolver(StateModelConfig(window_days=3), SPACING)
    with pytest.raises(ValueError, match=r"another architecture: .* missing instead of"):
        load_weights(solver, weights)


@pytest.fixture(scope="module")
def observations() -> Observations:
    """Eight days of 11 x 13 cells with a coast."""
    rng = np.random.default_rng(0)
    land = np.zeros((11, 13), bool)
    land[:3, :4] = True
    grid = Grid.latlon(34 + 0.2 * np.arange(11), -60 + 0.2 * np.arange(13), land)
    time = daily_stamps("2013-01-01", "2013-01-08")
    observed = (rng.random((time.size, *grid.shape)) < 0.3) & grid.ocean
    height = 1.5 + 0.3 * rng.standard_normal(observed.shape)
    gridded = GriddedObservations(
        time, grid, np.where(observed, height, 0).astype(np.float32), observed,
        observed.astype(np.int32), np.where(observed, 0.03, np.inf).astype(np.float32), "ssh",
    )  # fmt: skip
    none = np.zeros(0, np.float32)
    tracks = Tracks(
        time=np.zeros(0, "datetime64[ns]"), lat=none.astype(float), lon=none.astype(float),
        height=none, error=none, mission=none.astype(np.int8), missions=("saral",),
        pass_id=none.astype(np.int32), quantity="ssh", cross_track=none,
    )  # fmt: skip
    return Observations(gridded, tracks, 1.5 + 0.1 * rng.standard_normal(grid.shape))


def request(checkpoint: Path, patches: PatchConfig) -> MapRequest:
    period = Period(start="2013-01-04", end="2013-01-05")
    return MapRequest(period=period, patches=patches, checkpoint=checkpoint)


def test_maps_are_the_network_applied_to_the_window_of_each_day(
    observations: Observations, tmp_path: Path
) -> None:
    path, model = tmp_path / "unet.ckpt", network()
    checkpoint_of(model).save(path)
    gridded = observations.gridded
    grid = gridded.grid
    config = request(path, WHOLE)
    maps = methods.reconstruct("unet", observations, grid, Task(name="mapping"), config)
    assert maps.height.shape == (2, 11, 13)
    assert np.isnan(maps.height[:, grid.land]).all()
    spacing = (round(float(grid.dy_km), 3), round(float(grid.dx_km.mean()), 3))
    for i, first in enumerate((2, 3)):  # 4 January is day 3; its window starts a day before
        days = slice(first, first + 3)
        anomaly = (gridded.height[days] - observations.mean) / 0.25
        with torch.no_grad():
            state = model(
                torch.from_numpy(anomaly.astype(np.float32))[None],
                torch.from_numpy(gridded.observed[days])[None],
                torch.from_numpy(gridded.error[days] / np.float32(0.25))[None],
                torch.from_numpy(grid.ocean),
                spacing_km=spacing,
            )[0, 1].numpy()
        expected = observations.mean + 0.25 * state
        np.testing.assert_allclose(
            maps.height[i][grid.ocean], expected[grid.ocean], rtol=1e-5, atol=1e-5
        )


def test_patches_of_odd_size_cover_the_ocean(observations: Observations, tmp_path: Path) -> None:
    path = tmp_path / "unet.ckpt"
    checkpoint_of(network(), "for1").save(path)
    patches = PatchConfig(lat=9, lon=9, stride_lat=5, stride_lon=5)
    grid = observations.gridded.grid
    maps = methods.reconstruct(
        "unet", observations, grid, Task(name="for1"), request(path, patches)
    )
    assert np.isfinite(maps.height[:, grid.ocean]).all()


@pytest.mark.parametrize("method", ["unet", "4dvarnet"])
def test_the_network_of_another_method_is_refused(
    observations: Observations, tmp_path: Path, method: str
) -> None:
    path = tmp_path / "network.ckpt"
    solver = StateSolver(StateModelConfig(window_days=3, hidden=4, prior_hidden=4), SPACING)
    checkpoint_of(solver if method == "unet" else network()).save(path)
    held = "4dvarnet" if method == "unet" else "unet"
    with pytest.raises(ValueError, match=f"holds the network of {held}, the maps are .* {method}"):
        methods.reconstruct(
            method, observations, observations.gridded.grid, Task(name="mapping"),
            request(path, WHOLE),
        )  # fmt: skip


def problems(mapping: dict[str, Any]) -> str:
    with pytest.raises(ValueError) as caught:
        load(mapping)
    return str(caught.value)


def test_settings_that_cannot_work_are_refused() -> None:
    assert "unet: window_days: must be odd, got 8" in problems({"unet": {"window_days": 8}})
    assert "unet.channels" in problems({"unet": {"channels": 30}})
    tasks = {"for4": ["unet"], "mapping": []}
    text = problems({"unet": {"window_days": 3}, "tasks": tasks})
    assert "a window of 3 (unet.window_days)" in text
    text = problems({"unet": {"window_days": 21}, "tasks": {"mapping": ["unet"]}})
    assert "half-window (10 days)" in text
    none = {"domains": {"g": {"periods": {"train": None}}}, "tasks": {"mapping": ["unet"]}}
    assert "periods.train: needed to train unet" in problems(none)
    assert load({"unet": {"window_days": 21}}).unet.window_days == 21  # no task uses it


def test_both_networks_have_the_same_budget_and_data() -> None:
    config = load({"tasks": {"mapping": ["4dvarnet", "unet"], "for2": ["4dvarnet", "unet"]}})
    for task in config.tasks:
        own, other = (
            TrainStage.model_validate_json(stage_json(config, stage, "gulfstream", task))
            for stage in ("train_unet", "train")
        )
        assert own.model == config.unet and other.model == config.model
        assert own.training == other.training and own.patches == other.patches
        assert (own.train, own.validation) == (other.train, other.validation)
    assert "gulfstream/for2/training.png" in figure_names(config)
