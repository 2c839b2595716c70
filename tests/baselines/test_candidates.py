"""Choice from lists of candidates: order of preference, continuing at an end, limits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pipeline_spde.baselines.candidates import ListScan


@dataclass(frozen=True)
class Point:
    share: float = 0.0
    days: float = 1.0


class Valley:
    """An error of one percent of the lowest per percent of distance; counts its calls."""

    def __init__(self, **lowest: float) -> None:
        self.lowest, self.calls = lowest, []

    def __call__(self, point: Point) -> float:
        self.calls.append(point)
        return 1 + sum(abs(getattr(point, name) / v - 1) for name, v in self.lowest.items())


def scan(days: float, candidates=(1.0, 2.0, 3.0), limits=(0.01, 100.0)):
    valley = Valley(days=days)
    found = ListScan(valley, Point())
    found.choose("days", candidates, limits)
    return found, [point.days for point in valley.calls]


def test_the_best_inside_the_list_is_taken_as_it_is():
    found, tried = scan(2.0)
    assert found.best == Point(days=2.0)
    assert sorted(tried) == [1, 2, 3] and found.at_edge == []


@pytest.mark.parametrize(
    ("lowest", "best", "more"), [(4.5, 4.5, [4.5, 6.75]), (0.5, 0.5, [0.5, 0.25])]
)
def test_a_list_whose_end_is_best_goes_on_by_its_ratio_until_the_best_lies_inside(
    lowest, best, more
):
    found, tried = scan(lowest)
    assert tried[3:] == more and found.best.days == best and found.at_edge == []


@pytest.mark.parametrize(("lowest", "best"), [(50.0, 6.75), (0.01, 0.25)])
def test_after_two_more_steps_the_end_is_told(lowest, best, caplog):
    found, tried = scan(lowest)
    assert len(tried) == 5 and found.best.days == best
    assert found.at_edge == ["days"] and f"days ends at {best}" in caplog.text


def test_a_step_that_gains_nothing_worth_while_ends_the_list_where_it_was():
    found, tried = scan(3.01)
    assert tried == [1, 2, 3, 4.5] and found.best.days == 3.0 and found.at_edge == []


def test_of_equally_good_candidates_the_first_is_taken():
    found, _ = scan(2.0, (2.01, 2.0, 1.995, 3.0, 1.0))
    assert found.best.days == 2.01


@pytest.mark.parametrize(
    ("limits", "best"), [((0.01, 4.0), 4.0), ((0.01, 3.0), 3.0), ((0.01, 2.0), 3.0)]
)
def test_no_list_goes_on_beyond_its_limits(limits, best):
    found, tried = scan(50.0, limits=limits)
    assert max(tried) == best == found.best.days and found.at_edge == ["days"]


def test_a_list_that_begins_at_zero_has_nothing_below():
    valley = Valley(days=1.0)
    valley.lowest = {}
    found = ListScan(lambda point: valley(point) + point.share, Point())
    found.choose("share", (0.0, 0.5, 1.0), (0.0, 1.0))
    assert len(valley.calls) == 3 and found.best.share == 0.0 and found.at_edge == ["share"]


def test_a_single_candidate_is_taken_without_a_trial():
    valley = Valley(days=9.0)
    found = ListScan(valley, Point())
    found.choose("days", (7.0,), (0.0, 100.0))
    assert found.best.days == 7.0 and not valley.calls and not found.rows and not found.at_edge


def test_what_was_tried_is_not_tried_again():
    valley = Valley(share=0.5, days=2.0)
    found = ListScan(valley, Point())
    found.choose("share", (0.1, 0.5, 1.0), (0.0, 1.0))
    found.choose("days", (1.0, 2.0, 4.0), (0.1, 10.0))
    assert found.best == Point(0.5, 2.0)
    assert len(valley.calls) == len(set(valley.calls)) == 5
    assert found.rows[0] == "share=0.1: 2.30000" and len(found.rows) == 6
