from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline_spde.figures import animation


def test_frames_share_size_and_change_with_the_day(experiment) -> None:
    images = list(
        animation.frames(experiment.observations, experiment.maps, experiment.truth, dpi=50)
    )
    assert len(images) == 7
    assert len({image.size for image in images}) == 1
    first, last = (np.asarray(image) for image in (images[0], images[-1]))
    assert (first != last).any(axis=2).mean() > 0.05
    # the colour bars at the bottom stay as they are: limits are common to all days
    np.testing.assert_array_equal(first[-20:], last[-20:])


@pytest.mark.slow
def test_the_film_is_a_gif_with_every_day(experiment, tmp_path) -> None:
    path = tmp_path / "film.gif"
    size = animation.animate(
        path, experiment.observations, experiment.maps, experiment.truth, frames_per_second=5
    )
    assert path.stat().st_size == size <= animation.MOST_BYTES
    with Image.open(path) as film:
        assert film.n_frames == 7
        assert film.info["duration"] == 200
        assert film.info["loop"] == 0


def test_a_film_too_large_is_drawn_smaller_then_thinned_then_refused(
    experiment, monkeypatch, rng
) -> None:
    tried = []

    def noise(observations, maps, truth, days, dpi):
        tried.append((dpi, len(days)))
        for _ in days:
            yield Image.fromarray(rng.integers(0, 255, (dpi, dpi, 3), dtype=np.uint8))

    monkeypatch.setattr(animation, "frames", noise)
    inputs = (experiment.observations, experiment.maps, experiment.truth)
    sizes = [animation.animate(io.BytesIO(), *inputs)]
    for _ in range(3):
        stream = io.BytesIO()
        sizes.append(animation.animate(stream, *inputs, most_bytes=sizes[-1] - 2000))
        assert len(stream.getvalue()) == sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert tried[-4:] == [(100, 7), (80, 7), (80, 4), (60, 2)]
    with Image.open(stream) as film:
        assert film.n_frames == 2
        assert film.info["duration"] == 1000  # every fourth day at a quarter of the speed
    with pytest.raises(ValueError, match="7 days cannot be made smaller than 100 bytes"):
        animation.animate(io.BytesIO(), *inputs, most_bytes=100)


def test_a_film_without_truth_or_without_days(experiment) -> None:
    frames = animation.frames(experiment.observations, experiment.maps, dpi=40)
    assert next(frames).size[0] == 220
    with pytest.raises(ValueError, match="no day"):
        next(animation.frames(experiment.observations, experiment.maps, days=[]))
    with pytest.raises(ValueError, match="no method"):
        next(animation.frames(experiment.observations, {}))


def test_frames_of_an_ensemble_show_one_layout_that_moves(experiment, ensemble) -> None:
    with_truth = list(animation.ensemble_frames(ensemble, experiment.truth, dpi=50))
    assert len(with_truth) == 7
    assert len({image.size for image in with_truth}) == 1
    first, last = (np.asarray(image) for image in (with_truth[0], with_truth[-1]))
    assert (first != last).any(axis=2).mean() > 0.05
    alone = next(animation.ensemble_frames(ensemble, days=["2012-10-24"], dpi=50))
    assert alone.size[0] == with_truth[0].size[0]
    assert alone.size[1] < with_truth[0].size[1], "a row instead of two"


def test_the_film_of_an_ensemble_needs_a_member_and_a_day(ensemble, tmp_path) -> None:
    path = tmp_path / "ensemble.gif"
    days = list(ensemble["time"].values[:2])
    assert animation.animate_ensemble(path, ensemble, days=days) == path.stat().st_size
    with Image.open(path) as film:
        assert film.n_frames == 2
    with pytest.raises(ValueError, match="holds 0 members"):
        animation.animate_ensemble(path, ensemble.isel(realization=slice(0)))
    with pytest.raises(ValueError, match="no day"):
        next(animation.ensemble_frames(ensemble, days=[]))
