from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from pipeline_spde.figures import uncertainty
from pipeline_spde.figures.uncertainty import TaskResult

LABEL = "std, |error| [cm]"


def _longer(data: xr.Dataset, days: int) -> xr.Dataset:
    """Repeat the first day of a Dataset, growing, on consecutive days."""
    growth = xr.DataArray(1 + 0.01 * np.arange(days), dims="time")
    time = data["time"].values[0] + np.arange(days) * np.timedelta64(1, "D")
    return (
        (data.isel(time=0, drop=True) * growth)
        .assign_coords(time=time)
        .transpose(..., "time", "lat", "lon")
    )


@pytest.fixture(scope="module")
def six_weeks(experiment, ensemble) -> tuple[dict[str, TaskResult], xr.Dataset, dict]:
    """Two tasks on 42 days, the second with twice the deviation; truth; coverage."""
    truth, maps, members = (
        _longer(data, 42) for data in (experiment.truth, experiment.maps["4dvarnet"], ensemble)
    )
    days = [str(day) for day in truth["time"].values.astype("datetime64[D]")]
    scores = {
        name: {"time": days, "score": np.linspace(level, level + 0.02, 42)}
        for name, level in (("4dvarnet_spde", 0.95), ("oi_tuned", 0.93))
    }
    tasks = {
        "mapping": TaskResult(maps, members, scores),
        "for4": TaskResult(maps, 2 * members, {"4dvarnet_spde": scores["4dvarnet_spde"]}),
    }
    return tasks, truth, {"time": days, "coverage": np.full(42, 0.05)}


def _maps(figure) -> list:
    return [axes for axes in figure.axes if any(i.get_zorder() == 2 for i in axes.images)]


def test_each_task_has_deviations_over_errors_on_six_days_and_a_series(
    six_weeks, house_rules, fields
) -> None:
    tasks, truth, coverage = six_weeks
    figure = uncertainty.uncertainty_panels(tasks, truth, coverage)
    house_rules(figure)
    assert len(fields(figure)) == 2 * 2 * 6
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    dates = ["2012-10-25", "2012-11-01", "2012-11-08", "2012-11-15", "2012-11-22", "2012-11-29"]
    assert titles == [*dates, "mapping", "for4"]
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels.count(LABEL) == labels.count("1 − RMSE/RMS [1]") == 2
    assert labels.count("observed cells [%]") == 2
    assert {"mapping\nstd", "mapping\n|error|", "for4\nstd", "for4\n|error|"} <= set(labels)
    names = [text.get_text() for text in figure.legends[0].texts]
    assert names == ["tuned OI", "4DVarNet-SPDE", "observed cells"]


def test_deviation_and_error_share_a_scale_within_a_task_only(six_weeks, fields) -> None:
    tasks, truth, coverage = six_weeks
    drawn = fields(uncertainty.uncertainty_panels(tasks, truth, coverage))
    first, second = ({image.get_clim() for image in part} for part in (drawn[:12], drawn[12:]))
    assert len(first) == len(second) == 1
    assert first != second
    assert {low for low, _ in first | second} == {0.0}


def test_the_rows_are_the_calibrated_deviation_and_the_absolute_error(six_weeks, fields) -> None:
    tasks, truth, coverage = six_weeks
    drawn = fields(uncertainty.uncertainty_panels(tasks, truth, coverage))
    result, day = tasks["mapping"], 3 + 7  # second column
    std = 100 * result.ensemble["ssh_std_calibrated"].values[day]
    error = 100 * np.abs(result.maps["ssh"] - truth["ssh"]).values[day]
    for image, expected in ((drawn[1], std), (drawn[7], error)):
        np.testing.assert_allclose(image.get_array().filled(np.nan), expected, rtol=1e-5)


def test_notes_are_root_mean_squares_and_land_stays_empty(six_weeks, experiment, fields) -> None:
    tasks, truth, coverage = six_weeks
    figure = uncertainty.uncertainty_panels({"mapping": tasks["mapping"]}, truth, coverage)
    for image in fields(figure):
        np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), experiment.land)
        note = image.axes.texts[0].get_text()
        assert note == f"{np.sqrt((image.get_array() ** 2).mean()):.1f} cm"


@pytest.mark.parametrize("flatter", [1, 6], ids=["as it is", "a flat box"])
def test_nothing_overlaps(six_weeks, flatter) -> None:
    tasks, truth, coverage = six_weeks

    def squeezed(data: xr.Dataset) -> xr.Dataset:
        return data.assign_coords(lat=33 + (data["lat"] - 33) / flatter)

    tasks = {
        name: TaskResult(squeezed(r.maps), squeezed(r.ensemble), r.scores)
        for name, r in tasks.items()
    }
    figure = uncertainty.uncertainty_panels(tasks, squeezed(truth), coverage)
    figure.canvas.draw()
    twins = [axes for axes in figure.axes if axes.get_ylabel() == "observed cells [%]"]
    boxes = [axes.get_tightbbox() for axes in figure.axes if axes not in twins]
    boxes.append(figure.legends[0].get_window_extent())
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(width, height) < 3, "more than a line's width"


def test_without_truth_only_deviations_are_shown(six_weeks, house_rules, fields) -> None:
    tasks = {name: TaskResult(r.maps, r.ensemble, {}) for name, r in six_weeks[0].items()}
    figure = uncertainty.uncertainty_panels(tasks)
    house_rules(figure)
    assert len(fields(figure)) == 2 * 6
    assert len(figure.axes) == 2 * 6 + 2
    assert figure.legends == []
    assert [axes.get_ylabel() for axes in figure.axes].count("std [cm]") == 2


@pytest.mark.parametrize(("days", "columns"), [(1, 1), (7, 1), (8, 2), (14, 2), (36, 6)])
def test_a_short_period_has_fewer_maps(six_weeks, house_rules, fields, days, columns) -> None:
    tasks, truth, coverage = six_weeks
    result = tasks["mapping"]
    short = TaskResult(result.maps.isel(time=slice(days)), result.ensemble, result.scores)
    figure = uncertainty.uncertainty_panels({"mapping": short}, truth, coverage)
    house_rules(figure)
    assert len(fields(figure)) == 2 * columns
    widths = [axes.get_window_extent().width for axes in _maps(figure)]
    np.testing.assert_allclose(widths, widths[0])


def test_days_are_a_week_apart_in_the_middle() -> None:
    days = np.arange("2012-10-22", "2012-12-03", dtype="datetime64[D]")
    chosen = np.array(uncertainty.weekly_days(days))
    assert (np.diff(chosen) == np.timedelta64(7, "D")).all()
    before, after = (chosen[0] - days[0]).astype(int), (days[-1] - chosen[-1]).astype(int)
    assert abs(before - after) <= 1
    assert uncertainty.weekly_days(days[:0]) == []


def test_only_days_that_all_tasks_hold_are_chosen(six_weeks) -> None:
    tasks, truth, _ = six_weeks
    late = TaskResult(tasks["for4"].maps.isel(time=slice(30, None)), tasks["for4"].ensemble, {})
    shared = uncertainty.shared_days({"mapping": tasks["mapping"], "for4": late})
    np.testing.assert_array_equal(shared, truth["time"].values[30:].astype("datetime64[D]"))


def test_what_cannot_be_drawn_is_named(six_weeks) -> None:
    tasks, truth, coverage = six_weeks
    with pytest.raises(ValueError, match="no task"):
        uncertainty.uncertainty_panels({})
    with pytest.raises(ValueError, match=r"1 to 6 days .* got 0"):
        uncertainty.uncertainty_panels(tasks, truth, coverage, days=[])
    with pytest.raises(ValueError, match="2013-01-01; there are"):
        uncertainty.uncertainty_panels(tasks, truth, coverage, days=["2013-01-01"])
    raw = tasks["for4"].ensemble.drop_vars("ssh_std_calibrated")
    with pytest.raises(ValueError, match="no variable ssh_std_calibrated"):
        uncertainty.uncertainty_panels({"for4": TaskResult(tasks["for4"].maps, raw, {})})
    shifted = truth.assign_coords(lon=truth["lon"] + 1)
    with pytest.raises(ValueError, match="truth: lon"):
        uncertainty.uncertainty_panels(tasks, shifted, coverage)
