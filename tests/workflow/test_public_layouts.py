"""The pipeline runs on folders in the layouts of the public challenges, and finds the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from running import copy_workflow, snakemake

from pipeline_spde import io
from pipeline_spde.data import export
from pipeline_spde.files import read_json
from pipeline_spde.scores.tables import build

pytestmark = pytest.mark.slow

NADIRS = {
    "topex_interleaved": "tpn", "jason1": "j1", "geosat_follow_on": "g2", "envisat": "en"
}  # fmt: skip
METHODS = ("oi", "spde_oi", "4dvarnet")
TINY = yaml.safe_load((Path(__file__).parents[2] / "config" / "tiny.yaml").read_text())


def settings(experiment: str, **domain) -> dict:
    """The tiny experiment with four altimeters without noise, for one task and all methods."""
    kept = ("twin", "oi_tuned", "spde_oi", "patches", "model", "first_guess", "scores")
    tree = {name: TINY[name] for name in kept} | {"experiment": experiment}
    tree["model"] = TINY["model"] | {"start": "oi"}
    region = {"resolution": 0.5, "missions": list(NADIRS), "evaluation_margin": 1.0}
    box = {"lat": [32.0, 44.0], "lon": [-66.0, -54.0]}
    periods = {"periods": TINY["domains"]["gulfstream"]["periods"]}
    return tree | {
        "domains": {"gulfstream": region | box | periods | domain},
        "tasks": {"mapping": list(METHODS), "nrt": [], "for2": [], "for4": []},
        "observations": {"nadir_noise_m": 0.01},
        "training": TINY["training"] | {"steps": 20, "validate_every": 10},
    }


def run(checkout: Path, tree: dict, *targets: str, base: str = "", data: str = "") -> Path:
    """Run an experiment of a checkout as a user does; return its results."""
    overlay = checkout / f"{tree['experiment']}.yaml"
    overlay.write_text(yaml.safe_dump(tree))
    folder = Path("results") / tree["experiment"]
    files = ([base] if base else []) + [overlay.name]
    done = snakemake(
        checkout, *(str(folder / target) for target in targets), "--cores", "2",
        "--configfile", *files, PIPELINE_SPDE_DATA=data,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    return checkout / folder


SCORES = [f"scores/gulfstream/mapping/{method}.json" for method in METHODS]
TABLE = "tables/scores.md"


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> Path:
    """A checkout in which the twin has been mapped and scored."""
    checkout = copy_workflow(tmp_path_factory.mktemp("twin"))
    run(checkout, settings("twin"), TABLE)
    return checkout


def scores(results: Path) -> dict[str, dict]:
    """Scores of the methods that have been run."""
    named = zip(METHODS, SCORES, strict=True)
    return {m: read_json(results / name) for m, name in named if (results / name).is_file()}


def assert_same(found: dict, wanted: dict, tolerance: float) -> None:
    assert found
    for method in found:
        for name in ("rmse", "mu", "lambda_x"):
            one, other = (
                tree[method]["protocols"]["ssh-v1"][name]["value"] for tree in (found, wanted)
            )
            assert one == pytest.approx(other, rel=tolerance), (method, name)


def test_a_folder_of_the_2020a_challenge(twin, tmp_path):
    data = twin / "results" / "twin" / "data" / "gulfstream"
    truth, tracks = io.read_maps(data / "truth.nc"), io.read_tracks(data / "tracks.nc")
    export.write_dc2020a_reference(truth, tmp_path / "2020a" / "dc_ref")
    export.write_dc2020a_observations(tracks, tmp_path / "2020a" / "dc_obs")
    paths = {"truth_file": "2020a/dc_ref", "tracks_file": "2020a/dc_obs"}
    tree = settings("challenge", source="files", **paths)
    found = run(twin, tree, TABLE, data=str(tmp_path))
    again = io.read_tracks(found / "data" / "gulfstream" / "tracks.nc")
    assert len(again) == len(tracks) and np.allclose(again.height, tracks.height, atol=1e-6)
    with (
        xr.open_dataset(found / "data" / "gulfstream" / "truth.nc") as one,
        xr.open_dataset(data / "truth.nc") as other,
    ):
        assert np.allclose(one["ssh"], other["ssh"], atol=1e-6)
    assert_same(scores(found), scores(twin / "results" / "twin"), 2e-3)
    assert len(build(list(scores(found).values()))) == len(METHODS)


def test_a_folder_of_the_oceanbench_registry(twin, tmp_path):
    """What natl60_small.yaml expects: the gridded truth, and tracks under the registry's names."""
    data = twin / "results" / "twin" / "data" / "gulfstream"
    place = tmp_path / "oceanbench" / "osse_natl60"
    export.write_oceanbench_truth(
        io.read_maps(data / "truth.nc"), place / "grid" / "gf_mod_ssh_daily.nc"
    )
    written = export.write_dc2020a_observations(io.read_tracks(data / "tracks.nc"), tmp_path / "o")
    (place / "coord" / "nadirs").mkdir(parents=True)
    for name, path in zip(NADIRS.values(), written, strict=True):
        shutil.move(path, place / "coord" / "nadirs" / f"{name}.nc")
    tree = settings("registry")
    few = [SCORES[METHODS.index(method)] for method in ("oi", "4dvarnet")]
    found = run(twin, tree, *few, base="config/natl60_small.yaml", data=str(tmp_path))
    assert_same(scores(found), scores(twin / "results" / "twin"), 2e-3)


def test_gridded_observations_take_the_place_of_tracks(twin, tmp_path):
    data = twin / "results" / "twin" / "data" / "gulfstream"
    truth, cells = io.read_maps(data / "truth.nc"), io.read_observations(data / "observations.nc")
    export.write_oceanbench_truth(truth, tmp_path / "gf_mod_ssh_daily.nc")
    export.write_oceanbench_observations(cells, tmp_path / "gf_obs_nadir.nc")
    paths = {"truth_file": "gf_mod_ssh_daily.nc", "tracks_file": "gf_obs_nadir.nc"}
    tree = settings("cells", source="files", missions=["gridded"], **paths)
    found = run(twin, tree, SCORES[METHODS.index("4dvarnet")], data=str(tmp_path))
    with xr.open_dataset(found / "data" / "gulfstream" / "observations.nc") as again:
        assert np.array_equal(again["observed"].values.astype(bool), cells.observed)
        seen = cells.observed
        assert np.allclose(again["ssh"].values[seen], cells.height[seen], atol=1e-6)
    own = scores(twin / "results" / "twin")
    for method, one in scores(found).items():
        rmse, other = (tree["protocols"]["ssh-v1"]["rmse"]["value"] for tree in (one, own[method]))
        assert rmse < 1.3 * other, method
