"""The benchmark of the SPDE core: its gate, its clocks, and the mathematics of its rivals."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
GROUPS = ("energy", "logdet", "sampling", "kriging")


pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


@pytest.fixture(scope="module")
def bench():
    """The modules of the benchmark, imported as the script does it: from its own folder."""
    names = ("timing", *(f"spde_arms.{n}" for n in (*GROUPS, "problems", "sparse", "report")))
    sys.path.insert(0, str(BENCH))
    try:
        modules = {name.split(".")[-1]: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(BENCH))
    gc.freeze()  # every case collects garbage: not among all that torch holds
    yield SimpleNamespace(**modules)
    gc.unfreeze()


@pytest.fixture
def window(bench):
    """A small prior in float64 and its dense precision, from the core's own products."""
    prior = bench.problems.build_prior(
        bench.problems.parameters(1, 3, 5, "stiff", 1, torch.float64, "cpu")
    )
    return prior, prior.precision()[0].toarray()


def arm(bench: SimpleNamespace, name: str, value: float, calls: list[str], **extra: object):
    """Return an arm that puts out a constant and notes its runs."""

    def run(_: object) -> float:
        calls.append(name)
        return value

    given = {"dtype": "float64", **extra}
    return bench.timing.Arm(
        name=name, kind="core", gives="one", run=run, outputs=lambda x: {"number": x}, **given
    )


def case(bench: SimpleNamespace, arms: list[object], divisor: int = 1):
    return bench.timing.Case(
        "c", "energy", "Numbers", "numbers", 4, arms, lambda: {"number": 1.0}, divisor=divisor
    )


# ---------------------------------------------------------------- gate


def test_an_arm_that_disagrees_is_refused_and_never_timed(bench):
    calls: list[str] = []
    arms = [arm(bench, "right", 1 + 1e-12, calls), arm(bench, "wrong", 1 + 1e-8, calls)]
    right, wrong = bench.timing.run_case(case(bench, arms), bench.timing.Settings(repeats=3))[
        "arms"
    ]
    assert right["status"] == "run"
    assert len(right["cpu_s"]) == len(right["wall_s"]) == 3
    assert wrong["status"] == "refused"
    assert "1.0e-08" in wrong["reason"]
    assert "median" not in wrong
    assert calls.count("wrong") == 1


def test_float32_is_held_to_its_own_tolerance(bench):
    arms = [
        arm(bench, "near", 1 + 1e-6, [], dtype="float32"),
        arm(bench, "far", 1 + 1e-4, [], dtype="float32"),
        arm(bench, "loose", 1 + 1e-4, [], dtype="float32", tolerances={"number": 1e-3}),
    ]
    record = bench.timing.run_case(case(bench, arms), bench.timing.Settings(repeats=1))
    assert [a["status"] for a in record["arms"]] == ["run", "refused", "run"]


def test_a_result_that_is_not_finite_is_refused(bench):
    record = bench.timing.run_case(
        case(bench, [arm(bench, "nan", float("nan"), [])]), bench.timing.Settings(repeats=1)
    )
    assert record["arms"][0]["status"] == "refused"


def test_an_arm_that_puts_out_nothing_comparable_is_an_error(bench):
    with pytest.raises(ValueError, match="nothing to compare"):
        bench.timing.gate(arm(bench, "a", 1.0, []), {"other": 1.0}, {"number": 1.0})
    with pytest.raises(ValueError, match="make them equal"):
        bench.timing.difference([1.0, 2.0], [1.0])


def test_difference_is_relative_to_the_reference(bench):
    assert bench.timing.difference([3.0, 4.0], [0.0, 0.0]) == pytest.approx(5.0)
    assert bench.timing.difference([30.0, 44.0], [30.0, 40.0]) == pytest.approx(4 / 50)


# ---------------------------------------------------------------- timing


def test_repeats_of_all_arms_are_interleaved_after_the_gate(bench):
    calls: list[str] = []
    arms = [arm(bench, "a", 1.0, calls), arm(bench, "b", 1.0, calls, repeats=2)]
    bench.timing.run_case(case(bench, arms), bench.timing.Settings(repeats=3))
    assert "".join(calls) == "ab" + "abab" + "a"


def test_a_slow_arm_keeps_its_checked_run_as_the_only_sample(bench):
    calls: list[str] = []
    record = bench.timing.run_case(
        case(bench, [arm(bench, "slow", 1.0, calls, repeats=1)]), bench.timing.Settings(repeats=5)
    )
    assert calls == ["slow"]
    assert len(record["arms"][0]["cpu_s"]) == 1


def test_times_are_scaled_to_the_whole_work_and_divided_by_the_units(bench):
    samples = [bench.timing.Sample(wall=8.0, cpu=4.0), bench.timing.Sample(wall=2.0, cpu=2.0)]
    found = bench.timing.summary(arm(bench, "a", 1.0, []), samples, divisor=2)
    assert found["cpu_s"] == [2.0, 1.0]
    assert (found["median"], found["low"], found["high"], found["clock"]) == (
        1.5,
        1.0,
        2.0,
        "cpu_s",
    )
    on_gpu = arm(bench, "a", 1.0, [], device="cuda")
    assert bench.timing.summary(on_gpu, samples, divisor=2)["median"] == 2.5
    burn = arm(bench, "a", 1.0, [], scale=1e6)
    _, sample = bench.timing.run_once(burn, None)
    _, plain = bench.timing.run_once(arm(bench, "a", 1.0, []), None)
    assert sample.wall > 100 * plain.wall


def test_an_optional_arm_that_breaks_is_reported_and_another_raises(bench):
    def broken(_: object) -> None:
        raise RuntimeError("capture failed\nat length")

    parts = {"kind": "core", "gives": "", "dtype": "float64", "run": broken, "outputs": dict}
    optional = bench.timing.Arm(name="graph", optional=True, **parts)
    settings = bench.timing.Settings(repeats=1)
    record = bench.timing.run_case(case(bench, [optional]), settings)["arms"][0]
    assert record["status"] == "not run"
    assert record["reason"] == "RuntimeError: capture failed"
    with pytest.raises(RuntimeError, match="capture failed"):
        bench.timing.run_case(case(bench, [bench.timing.Arm(name="must", **parts)]), settings)


def timed(name: str, cells: int, median: float) -> dict[str, object]:
    arms = [{"name": "a", "status": "run", "median": median}, {"name": "b", "status": "not run"}]
    return {"name": name, "series": "s", "cells": cells, "arms": arms}


def test_exponents_recover_a_power_law_and_leave_out_what_did_not_run(bench):
    cases = [timed(str(n), n, 3e-6 * n**1.5) for n in (900, 3600, 14400)]
    (fit,) = bench.timing.exponents(cases)
    assert fit["arm"] == "a"
    assert fit["exponent"] == pytest.approx(1.5)


@pytest.mark.parametrize(("at_least", "at_most", "met"), [(4, None, True), (6, None, False)])
def test_a_headline_says_whether_its_target_is_met(bench, at_least, at_most, met):
    arms = [{"name": n, "status": "run", "median": m} for n, m in (("slow", 10.0), ("fast", 2.0))]
    cases = [{"name": "c", "arms": arms}]
    line = bench.timing.Headline("x", "c", "slow", "fast", at_least, at_most)
    found = bench.timing.ratio(line, cases)
    assert found["ratio"] == 5.0
    assert found["met"] is met
    inverse = bench.timing.Headline("x", "c", "fast", "slow", at_most=0.1)
    assert bench.timing.ratio(inverse, cases)["met"] is False
    missing = bench.timing.Headline("x", "c", "slow", "gone", at_least)
    assert bench.timing.ratio(missing, cases)["ratio"] is None


def test_peak_memory_sees_what_an_arm_allocates():
    code = (
        "import numpy, timing; from timing import Arm;"
        "run = lambda _: numpy.ones(8_000_000).sum();"
        "arm = Arm(name='a', kind='core', gives='', dtype='float64', run=run, outputs=dict);"
        "print(timing.peak_memory(arm))"
    )
    # in a process of its own, as the benchmark does: a large heap would hold 64 MB unnoticed
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCH, capture_output=True, text=True, check=True
    )
    assert 55 < float(done.stdout) < 90  # 64 MB of ones


# ---------------------------------------------------------------- problems


def test_parameter_fields_have_no_mean_and_the_stiffness_of_their_regime(bench):
    field = bench.problems.smooth_fields((2, 40, 40), torch.Generator().manual_seed(0))
    assert field.mean(dim=(-2, -1)).abs().max() < 1e-12
    assert torch.allclose(field.std(dim=(-2, -1)), torch.ones(2, dtype=field.dtype))
    for regime, expected in bench.problems.REGIMES.items():
        theta = bench.problems.parameters(1, 4, 20, regime, 0, torch.float64, "cpu")
        mean = 0.5 * (theta.h_ee + theta.h_nn).mean() / bench.problems.CELL_KM**2
        assert float(mean) == pytest.approx(expected)


def test_the_core_conditions_each_regime_by_the_method_meant_for_it(bench):
    for regime, expected in (("mild", "jacobi"), ("stiff", "time_block")):
        theta = bench.problems.parameters(1, 3, 12, regime, 0, torch.float64, "cpu")
        observed = bench.problems.tracks(3, 12, 0)
        posterior = bench.problems.build_prior(theta).condition(observed.double(), observed, 0.1)
        assert posterior.name == expected


def test_tracks_observe_four_percent_of_every_day(bench):
    share = bench.problems.tracks(21, 50, 0).double().mean(dim=(-2, -1))
    assert share.min() > 0.03
    assert share.max() < 0.05


# ---------------------------------------------------------------- rivals


def test_the_assembled_precision_is_that_of_the_core(bench, window):
    prior, dense = window
    found = bench.sparse.precision(bench.sparse.blocks_of(prior)).toarray()
    assert np.abs(found - dense).max() < 1e-12 * np.abs(dense).max()


def test_torch_sparse_assembles_the_same_precision(bench, window):
    prior, dense = window
    indices, values = bench.energy._assembled_entries(prior, 0)
    found = torch.zeros(dense.shape, dtype=torch.float64)
    found[indices[0], indices[1]] = values
    # beside the diagonal only one triangle counts: x'Qx does not see how a pair is shared
    symmetric = 0.5 * (found + found.T).numpy()
    assert np.abs(symmetric - dense).max() < 1e-12 * np.abs(dense).max()


def test_superlu_in_every_ordering_gives_determinant_and_solves(bench, window, rng):
    prior, dense = window
    matrix = bench.sparse.precision(bench.sparse.blocks_of(prior))
    rhs = rng.standard_normal((dense.shape[0], 3))
    for ordering in bench.sparse.ORDERINGS:
        factor = bench.sparse.Factored(matrix, ordering, (3, 5, 5))
        assert factor.log_abs_det == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12)
        for transpose in (False, True):
            found = factor.solve(rhs, transpose)
            assert np.allclose(dense @ found, rhs, rtol=0, atol=1e-10)


def test_nested_dissection_keeps_every_node_and_beats_the_natural_order(bench):
    order = bench.sparse.dissection_order((6, 12, 12))
    assert np.array_equal(np.sort(order), np.arange(6 * 12 * 12))
    theta = bench.problems.parameters(1, 6, 12, "mild", 0, torch.float64, "cpu")
    matrix = bench.sparse.precision(bench.sparse.blocks_of(bench.problems.build_prior(theta)))
    shape = (6, 12, 12)
    entries = {
        name: bench.sparse.Factored(matrix, name, shape).entries
        for name in (bench.sparse.NESTED_DISSECTION, "NATURAL")
    }
    assert entries[bench.sparse.NESTED_DISSECTION] < 0.8 * entries["NATURAL"]


def test_the_root_of_a_factor_has_the_matrix_as_its_square(bench, rng):
    half = rng.standard_normal((12, 12))
    dense = half @ half.T + 12 * np.eye(12)
    factor = bench.sparse.Factored(bench.sparse.sp.csc_matrix(dense), "MMD_AT_PLUS_A")
    root = factor.root_times(np.eye(12))
    assert np.allclose(root @ root.T, dense)
    dissected = bench.sparse.Factored(
        bench.sparse.sp.csc_matrix(dense), bench.sparse.NESTED_DISSECTION, (3, 2, 2)
    )
    with pytest.raises(ValueError, match="symmetric root"):
        dissected.root_times(np.eye(12))


class Unit:
    """A 'random generator' that hands out unit vectors: it turns a sampler into its matrix."""

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.eye(shape[0] * shape[1]).reshape(*shape[:2], -1)


def test_the_draws_of_the_rivals_have_the_law_of_the_prior(bench, window):
    prior, dense = window
    blocks = bench.sparse.blocks_of(prior)
    numbers = (prior.days + 1) * 25
    root = bench.sampling.root_times_white(blocks, numbers, Unit())
    assert np.allclose(root @ root.T, dense, rtol=0, atol=1e-11 * np.abs(dense).max())
    covariance = np.linalg.inv(dense)
    draws = bench.sampling.PerStep(blocks).draw(numbers, Unit())
    assert np.allclose(draws @ draws.T, covariance, rtol=0, atol=1e-10 * np.abs(covariance).max())


def test_superlu_per_step_solves_with_the_precision(bench, window, rng):
    prior, dense = window
    factors = bench.sampling.PerStep(bench.sparse.blocks_of(prior))
    rhs = rng.standard_normal((dense.shape[0], 2))
    assert np.allclose(dense @ factors.solve(rhs), rhs, rtol=0, atol=1e-10)
    assert factors.log_det == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12)


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize("group", GROUPS)
def test_every_arm_passes_its_gate_on_tiny_problems(bench, group):
    settings = bench.timing.Settings(quick=True, repeats=1, seed=5)
    module: ModuleType = getattr(bench, group)
    record = bench.timing.run_case(module.cases(settings)[0], settings)
    status = {a["name"]: a["status"] for a in record["arms"]}
    assert "refused" not in status.values(), record
    assert sum(value == "run" for value in status.values()) >= 4
    assert all(a["reason"] for a in record["arms"] if a["status"] == "not run")


def test_draws_of_a_whole_domain_and_other_windows_pass_their_gate(bench):
    settings = bench.timing.Settings(quick=True, repeats=1, seed=5)
    large = bench.sampling.cases(settings)[-1]
    shorter = [module.cases(settings) for module in (bench.energy, bench.sampling, bench.kriging)]
    chosen = [large, *(c for cases in shorter for c in cases if c.name.endswith("-2-days"))]
    assert len(chosen) == 4
    for one in chosen:
        record = bench.timing.run_case(one, settings)
        assert "refused" not in {a["status"] for a in record["arms"]}, record
    assert large.title.startswith("Sampling, 100 members")


def test_the_long_cases_are_there_when_asked_for(bench):
    usual, full = (bench.timing.Settings(full=full) for full in (False, True))
    for module in (bench.energy, bench.sampling, bench.kriging):
        names = [{case.name for case in module.cases(s)} for s in (usual, full)]
        assert names[0] < names[1]
        assert any(name.endswith("-5-days") for name in names[0])
        assert all(name.endswith("-30-days") for name in names[1] - names[0])
    for settings, kind in ((usual, bench.timing.NotRun), (full, bench.timing.Arm)):
        large = {arm.name: arm for arm in bench.sampling.cases(settings)[-1].arms}
        assert isinstance(large[bench.sampling.PER_STEP], kind)


def test_headlines_name_arms_and_cases_that_exist(bench):
    for group in GROUPS:
        module = getattr(bench, group)
        known = {(c.name, a.name) for c in module.cases(bench.timing.Settings()) for a in c.arms}
        for line in module.HEADLINES:
            assert (line.case, line.numerator) in known
            assert (line.case, line.denominator) in known


def test_tables_replace_what_is_between_their_markers(bench):
    report = bench.report
    tables = f"{report.BEGIN}\nnew\n{report.END}\n"
    document = f"# Speed\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n"
    assert report.insert(document, tables) == document.replace("old", "new")
    assert report.insert("# Speed\n", tables) == f"# Speed\n\n{tables}"
    assert report.insert("", tables) == tables
    shown = [report.seconds(x) for x in (2.0, 0.0123, 4.56e-5, 1e-8)]
    assert shown == ["2 s", "12.3 ms", "45.6 µs", "0.01 µs"]


def test_the_documentation_quotes_every_headline(bench):
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert bench.report.BEGIN in text
    for group in GROUPS:
        for line in getattr(bench, group).HEADLINES:
            assert f"| {line.label} |" in text


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH / "spde.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},  # the script must pin one by itself
    )


@pytest.mark.slow
def test_a_quick_run_writes_every_sample_and_the_tables(tmp_path):
    output, tables = tmp_path / "new" / "speed.json", tmp_path / "speed.md"
    done = run_script("--quick", "--output", str(output), "--markdown", str(tables))
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text(encoding="utf-8"))
    assert record["runs"][0]["machine"]["threads"] == 1
    assert all(pool["num_threads"] == 1 for pool in record["runs"][0]["machine"]["blas"])
    assert {c["group"] for c in record["cases"]} == set(GROUPS)
    arms = [a for c in record["cases"] for a in c["arms"]]
    assert {a["status"] for a in arms} == {"run", "not run"}
    assert all(len(a["cpu_s"]) >= 2 and min(a["cpu_s"]) > 0 for a in arms if a["status"] == "run")
    assert all(a["reason"] for a in arms if a["status"] == "not run")
    written = tables.read_text(encoding="utf-8")
    assert all(a["name"] in written for a in arms)
    assert "CUDA graph" in done.stdout

    again = run_script("--tables-of", str(output), "--markdown", str(tables))
    assert again.returncode == 0, again.stderr
    assert all(a["name"] in tables.read_text(encoding="utf-8") for a in arms)
    twice = run_script("--tables-of", str(output), str(output))
    assert twice.returncode != 0
    assert "cases in more than one run" in twice.stderr


@pytest.mark.slow
def test_memory_of_one_arm_is_measured_in_its_own_process():
    done = run_script("--quick", "--peak-of", "energy-frozen-8", "scipy CSR Q, float64")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["peak_mb"] < 500
    wrong = run_script("--quick", "--peak-of", "energy-frozen-8", "abacus")
    assert wrong.returncode != 0
    assert "no arm 'abacus'" in wrong.stderr
