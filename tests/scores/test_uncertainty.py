"""Probabilistic scores of ensembles, Gaussian maps and plain maps, from Datasets to JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from pipeline_spde.files import open_netcdf
from pipeline_spde.scores import score_maps, score_tracks
from pipeline_spde.scores.ensemble import CALIBRATED, RAW, estimate_of
from pipeline_spde.scores.point_scores import ensemble_crps, gaussian_crps
from pipeline_spde.scores.uncertainty import QUOTED

QUICK = {"margin_degrees": 0.0, "bootstrap_draws": 30, "seed": 1}


def score(truth, ensemble=None, **options):
    """Scores of an ensemble's mean map, under the shortest protocol."""
    estimate = options.pop("estimate", None)
    estimate = ensemble["ssh_mean"] if estimate is None else estimate
    return score_maps(
        truth=truth, estimate=estimate, protocols=["ssh-v1"], ensemble=ensemble, **QUICK | options
    )


def numbers(scores):
    """The values of the scores that have one."""
    return {k: entry["value"] for k, entry in scores.items() if entry["value"] is not None}


def gaussian_maps(mean, std):
    return xr.Dataset({"ssh": mean, "ssh_std": std}, attrs={"quantity": "ssh"})


@pytest.fixture(scope="module")
def scored(ensemble_case):
    """An ensemble whose raw spread is 1.5 times too wide, with all its scores."""
    truth, ensemble = ensemble_case(np.random.default_rng(3), members=39, inflation=1.5, step=0.8)
    reference = gaussian_maps(truth + 0.1, 0 * truth + 0.1)
    return truth, ensemble, reference, score(truth, ensemble, reference=reference)


def test_a_calibrated_ensemble_is_recognised(scored):
    found = scored[3]["probabilistic"]["calibrated"]
    assert found["spread_skill"]["value"] == pytest.approx(1.0, abs=0.03)
    for level in (50, 80, 90, 95):
        assert found[f"coverage_{level}"]["value"] == pytest.approx(level / 100, abs=0.015)
        low, high = found[f"coverage_{level}"]["interval"]
        assert low < found[f"coverage_{level}"]["value"] < high
    histogram = scored[3]["probabilistic"]["rank_histogram"]["calibrated"]
    assert len(histogram["counts"]) == 40
    assert sum(histogram["counts"]) == 16 * 20 * 22
    assert histogram["chi_square"]["p_value"] > 0.01
    assert histogram["reliability_index"] < 0.15
    line = scored[3]["probabilistic"]["binned"]["calibrated"]
    # below 1 although the ensemble is perfect: the spread of 39 members has a sampling error
    assert 0.85 < line["slope"]["value"] < 1.0


def test_too_wide_an_ensemble_is_recognised(scored):
    raw, calibrated = (scored[3]["probabilistic"][version] for version in (RAW, CALIBRATED))
    assert raw["spread_skill"]["value"] == pytest.approx(1.5, abs=0.06)
    assert raw["coverage_90"]["value"] > 0.96
    assert raw["width_90"]["value"] > 1.4 * calibrated["width_90"]["value"]
    assert raw["crps"]["value"] > calibrated["crps"]["value"]
    histogram = scored[3]["probabilistic"]["rank_histogram"][RAW]
    counts = np.array(histogram["counts"])
    assert counts[15:25].mean() > 2 * counts[[0, 1, -2, -1]].mean()
    assert histogram["chi_square"]["p_value"] < 1e-3
    index = scored[3]["probabilistic"]["rank_histogram"][CALIBRATED]["reliability_index"]
    assert histogram["reliability_index"] > 3 * index


def test_the_quoted_scores_are_those_of_the_calibrated_version(scored):
    result = scored[3]
    for name in QUOTED:
        assert result[name] == result["probabilistic"]["calibrated"][name]
        assert {"value", "interval", "unit"} <= result[name].keys()
    found = result["probabilistic"]
    assert (found["kind"], found["members"], found["crps_estimator"]) == ("ensemble", 39, "fair")
    assert set(found) >= {"rank_histogram", "binned", "spectral", "retain"}
    json.dumps(result, allow_nan=False)


def test_scores_are_those_of_all_members_at_once(scored):
    truth, ensemble, _, result = scored
    mean, raw = ensemble["ssh_mean"].values, ensemble["ssh"].values
    factor = (ensemble["ssh_std_calibrated"] / ensemble["ssh_std"]).values
    for version, members in ((RAW, raw), (CALIBRATED, mean + (raw - mean) * factor)):
        flat, y = members.reshape(39, -1), truth.values.ravel()
        error = flat.mean(axis=0) - y
        variance = flat.var(axis=0, ddof=1) * 40 / 39
        low, high = np.quantile(flat, [0.05, 0.95], axis=0, method="weibull")
        expected = {
            "crps": ensemble_crps(truth=y, members=flat).mean(),
            "crps_standard": ensemble_crps(truth=y, members=flat, fair=False).mean(),
            "mae": np.abs(mean.ravel() - y).mean(),
            "rmse": np.sqrt(np.mean(error**2)),
            "spread": np.sqrt(variance.mean()),
            "spread_skill": np.sqrt(variance.mean() / np.mean(error**2)),
            "coverage_90": np.mean((low <= y) & (y <= high)),
            "width_90": np.mean(high - low),
        }
        expected["crpss_deterministic"] = 1 - expected["crps"] / expected["mae"]
        found = numbers(result["probabilistic"][version])
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-9), name
        ranks = np.bincount((flat < y).sum(axis=0), minlength=40)
        assert result["probabilistic"]["rank_histogram"][version]["counts"] == ranks.tolist()


def test_skill_against_the_reference_is_that_of_its_gaussian_crps(scored):
    truth, _, _, result = scored
    reference = gaussian_crps(truth=truth.values, mean=truth.values + 0.1, std=np.array(0.1)).mean()
    expected = 1 - result["crps"]["value"] / reference
    assert result["crpss_oi"]["value"] == pytest.approx(expected)


def test_the_reference_counts_at_common_points_only(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng)
    east = truth["lon"] > float(truth["lon"][10])
    reference = gaussian_maps((truth + 0.1).where(east), 0 * truth + 0.1)
    result = score(truth, ensemble, reference=reference)
    half = {"truth": truth[..., 11:], "ensemble": ensemble.isel(lon=slice(11, None))}
    alone = score(**half, reference=gaussian_maps(half["truth"] + 0.1, 0 * half["truth"] + 0.1))
    assert result["crpss_oi"]["value"] == pytest.approx(alone["crpss_oi"]["value"])
    assert result["crps"]["value"] != alone["crps"]["value"]
    assert "crpss_oi" not in score(truth, ensemble)


def test_calibrated_members_score_as_if_they_were_the_raw_ones(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng, inflation=0.6)
    factor = ensemble["ssh_std_calibrated"] / ensemble["ssh_std"]
    mean = ensemble["ssh_mean"]
    scaled = ensemble.assign(ssh=mean + (ensemble["ssh"] - mean) * factor)
    scaled = scaled.drop_vars("ssh_std_calibrated").transpose("realization", ...)
    found, alone = (score(truth, data)["probabilistic"] for data in (ensemble, scaled))
    assert alone["calibrated"] is None
    assert found["calibrated"].keys() == alone["raw"].keys()
    for name, value in numbers(found["calibrated"]).items():
        assert numbers(alone["raw"])[name] == pytest.approx(value, rel=1e-6), name


def test_daily_columns(scored):
    truth, ensemble, _, result = scored
    daily = result["daily"]
    assert daily.keys() == {"time", "score", "rmse", "crps", "spread", "spread_calibrated"}
    assert {len(column) for column in daily.values()} == {16}
    assert np.mean(daily["crps"]) == pytest.approx(result["crps"]["value"])
    spread = ensemble["ssh"].var("realization", ddof=1).mean(("lat", "lon")) * 40 / 39
    np.testing.assert_allclose(daily["spread"], np.sqrt(spread))
    correlation = np.corrcoef(
        daily["spread_calibrated"],
        np.sqrt(_daily_square_error(truth, ensemble)),
    )[0, 1]
    assert result["daily_spread_error_correlation"]["value"] == pytest.approx(correlation, abs=1e-9)


def _daily_square_error(truth, ensemble):
    factor = ensemble["ssh_std_calibrated"] / ensemble["ssh_std"]
    mean = ensemble["ssh_mean"]
    centre = mean + (ensemble["ssh"].mean("realization") - mean) * factor
    return ((centre - truth) ** 2).mean(("lat", "lon"))


class Recorder(BackendArray):
    """An array on disk, as far as xarray knows, that writes down what is read of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.days = []

    def __getitem__(self, key):
        basic = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, basic, self._read)

    def _read(self, key):
        part = self.array[key]
        self.days.append(part.shape[1])
        return part


def test_members_are_read_one_day_at_a_time(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng)
    recorder = Recorder(ensemble["ssh"].values)
    lazy = indexing.LazilyIndexedArray(recorder)
    streamed = ensemble.assign(ssh=xr.Variable(ensemble["ssh"].dims, lazy))
    assert score(truth, streamed) == score(truth, ensemble)
    assert recorder.days == [1] * 16


def test_a_file_gives_the_same_scores_as_memory(ensemble_case, rng, tmp_path):
    truth, ensemble = ensemble_case(rng, members=9)
    ensemble = ensemble.astype(np.float64)
    ensemble.to_netcdf(tmp_path / "ensemble.nc")
    with open_netcdf(tmp_path / "ensemble.nc") as data:
        assert score(truth, data) == score(truth, ensemble)


def test_land_of_the_truth_never_counts(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng, members=9)
    ocean = ~((truth["lat"] < 33.7) & (truth["lon"] < -64.3)).drop_vars(("lat", "lon"))
    truth = truth.where(ocean)
    holed = ensemble.map(lambda a: a.where(ocean) if "lat" in a.dims else a)
    wild = ensemble.map(lambda a: a.where(ocean, 1e6) if "lat" in a.dims else a)
    one, other = (
        score(truth, data.transpose("realization", ...), estimate=ensemble["ssh_mean"])
        for data in (holed, wild)
    )
    assert one["probabilistic"] == other["probabilistic"]
    assert one["probabilistic"]["points"] == int(truth.notnull().sum())
    assert one["probabilistic"]["spectral"]["raw"]["direction"] == "zonal"


def test_cells_without_a_spread_are_excluded_and_counted(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng)
    west = truth["lon"] < float(truth["lon"][4])
    holed = ensemble.assign(ssh_std=ensemble["ssh_std"].where(~west))
    found = score(truth, holed)["probabilistic"]
    assert found["excluded_points"] == 16 * 20 * 4
    alone = score(truth[..., 4:], ensemble.isel(lon=slice(4, None)))["probabilistic"]
    assert found["raw"]["crps"]["value"] == pytest.approx(alone["raw"]["crps"]["value"])


def test_a_day_without_an_ensemble_is_excluded(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng)
    found = score(truth, ensemble.isel(time=slice(0, 13)), estimate=ensemble["ssh_mean"])
    assert found["probabilistic"]["excluded_points"] == 3 * 20 * 22
    assert found["daily"]["spread"][-3:] == [None] * 3
    assert None not in found["daily"]["rmse"]


def test_members_on_another_grid_are_interpolated_like_maps(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng, members=9, calibrated=False)
    slope = 0.1 * truth["lat"] + 0.05 * (truth["lon"] + 60)
    level = xr.DataArray(rng.standard_normal(9), dims="realization")
    tilted = ensemble.assign(
        ssh=(slope + level + 0 * ensemble["ssh"]).transpose("realization", ...),
        ssh_mean=slope + 0 * ensemble["ssh_mean"],
        ssh_std=0 * ensemble["ssh_std"] + 1.0,
    )
    inner = truth.isel(lat=slice(1, -1), lon=slice(1, -1))
    shifted = (0 * inner).assign_coords(
        lat=inner["lat"] + 0.07, lon=inner["lon"] - 0.05, time=inner["time"]
    )
    at = 0.1 * shifted["lat"] + 0.05 * (shifted["lon"] + 60) + 0 * shifted
    found = score(at, tilted, estimate=tilted["ssh_mean"])["probabilistic"]["raw"]
    expected = ensemble_crps(truth=np.zeros(1), members=level.values[:, None])[0]
    assert found["crps"]["value"] == pytest.approx(expected, rel=1e-9)


def test_maps_with_a_standard_deviation_get_the_same_suite_once(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng)
    mean, std = ensemble["ssh_mean"], ensemble["ssh_std"]
    result = score(truth, estimate=mean, std=std)
    found = result["probabilistic"]
    assert (found["kind"], found["members"], found["calibrated"]) == ("gaussian", None, None)
    assert result["crps"]["value"] == pytest.approx(
        gaussian_crps(truth=truth.values, mean=mean.values, std=std.values).mean()
    )
    assert result["spread_skill"]["value"] == pytest.approx(1.0, abs=0.03)
    assert result["coverage_95"]["value"] == pytest.approx(0.95, abs=0.01)
    assert found["binned"]["raw"]["slope"]["value"] == pytest.approx(1.0, abs=0.06)
    assert found["binned"]["raw"]["intercept"]["value"] == pytest.approx(0.0, abs=0.004)
    assert len(found["rank_histogram"]["raw"]["counts"]) == 20
    assert found["rank_histogram"]["raw"]["of"] == "PIT"
    assert "members" in found["spectral"]["raw"]["reason"]
    assert "spread_calibrated" not in result["daily"]
    json.dumps(result, allow_nan=False)


def test_an_ensemble_without_members_is_judged_as_gaussian(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng, inflation=1.5)
    found = score(truth, ensemble.drop_vars("ssh"))["probabilistic"]
    assert found["kind"] == "gaussian"
    assert found["raw"]["spread_skill"]["value"] == pytest.approx(1.5, abs=0.05)
    assert found["calibrated"]["spread_skill"]["value"] == pytest.approx(1.0, abs=0.04)


def test_maps_alone_have_a_crps_to_compare_with_and_nothing_else(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng)
    reference = gaussian_maps(truth + 0.1, 0 * truth + 0.1)
    result = score(truth, estimate=ensemble["ssh_mean"], reference=reference)
    assert not set(QUOTED) & set(result)
    found = result["probabilistic"]
    assert (found["kind"], found["calibrated"]) == ("deterministic", None)
    assert set(found["raw"]) == {"crps", "mae", "rmse", "crpss_oi"}
    mae = float(np.abs(truth - ensemble["ssh_mean"]).mean())
    assert found["raw"]["crps"]["value"] == pytest.approx(mae)
    assert result["daily"].keys() == {"time", "score", "rmse"}


def test_few_members_have_no_wide_interval_but_a_reason(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng, members=20)
    result = score(truth, ensemble)
    assert result["coverage_90"]["value"] is not None
    assert result["coverage_95"]["value"] is None
    assert result["coverage_95"]["reason"] == (
        "a central 95 % interval needs 39 members, there are 20"
    )


def test_mistakes_in_an_ensemble_are_explained(ensemble_case, rng):
    truth, ensemble = ensemble_case(rng, members=4)
    with pytest.raises(ValueError, match="ssh_std"):
        estimate_of(ensemble.drop_vars("ssh_std"))
    with pytest.raises(ValueError, match="two or more members"):
        estimate_of(ensemble.isel(realization=[0]))
    with pytest.raises(ValueError, match="must have the dims"):
        estimate_of(ensemble.rename(realization="member"))
    with pytest.raises(ValueError, match="maps with a spread must hold it"):
        score(truth, ensemble, reference=ensemble[["ssh"]])
    broken = ensemble.copy(deep=True)
    broken["ssh"][2, 5, 3, 3] = np.nan
    with pytest.raises(ValueError, match="1 values of the members are missing"):
        score(truth, broken)
    with pytest.raises(ValueError, match="no scored place"):
        score(truth, ensemble.assign(ssh_std=np.nan * ensemble["ssh_std"]))


@pytest.fixture
def tracks(ensemble_case, rng):
    """6000 noisy measurements of a calibrated ensemble's truth, each at a node, and the files."""
    truth, ensemble = ensemble_case(rng, members=29, inflation=0.7)
    t, y, x = (rng.integers(0, n, 6000) for n in truth.shape)
    order = np.argsort(t, kind="stable")
    t, y, x = t[order], y[order], x[order]
    noise = 0.06
    return ensemble, {
        "time": truth["time"].values[t],
        "lat": truth["lat"].values[y],
        "lon": truth["lon"].values[x],
        "height": truth.values[t, y, x] + noise * rng.standard_normal(6000),
        "height_error": np.full(6000, noise),
        "estimate": ensemble["ssh_mean"],
    }


def test_along_tracks_members_get_the_error_of_the_data(tracks):
    ensemble, data = tracks
    result = score_tracks(**data, ensemble=ensemble, **QUICK)
    found = result["probabilistic"]
    assert (found["kind"], found["points"]) == ("ensemble", 6000)
    assert result["spread_skill"]["value"] == pytest.approx(1.0, abs=0.04)
    assert result["coverage_90"]["value"] == pytest.approx(0.9, abs=0.02)
    assert found["rank_histogram"]["calibrated"]["chi_square"]["p_value"] > 0.01
    assert found["raw"]["spread_skill"]["value"] < 0.9
    without = score_tracks(**data | {"height_error": 0.0}, ensemble=ensemble, **QUICK)
    assert without["spread_skill"]["value"] < 0.85
    json.dumps(result, allow_nan=False)


def test_members_and_their_gaussian_agree_along_tracks(tracks):
    ensemble, data = tracks
    std = ensemble["ssh_std_calibrated"]
    gaussian = score_tracks(**data, std=std, **QUICK)
    members = score_tracks(**data, ensemble=ensemble, **QUICK)
    for name in ("crps", "spread_skill", "coverage_80"):
        assert members[name]["value"] == pytest.approx(gaussian[name]["value"], rel=0.03)


def test_order_of_measurements_does_not_matter(tracks, rng):
    _, data = tracks
    mixed = rng.permutation(6000)
    shuffled = {k: v if k == "estimate" else v[mixed] for k, v in data.items()}
    std = 0 * data["estimate"] + 0.05
    one, other = (score_tracks(**d, std=std, **QUICK) for d in (data, shuffled))
    for name in ("crps", "coverage_90"):
        assert one[name]["value"] == pytest.approx(other[name]["value"])
    for name in ("error_spread_correlation", "daily_spread_error_correlation"):
        assert one[name]["reason"] == "the spread or the error is the same everywhere"
    assert one["daily"]["crps"] == pytest.approx(other["daily"]["crps"])
