"""The benchmark: all engines compute the same, and the script runs. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "misc"))
import benchmark  # noqa: E402 (it lies in misc/, which is no package)

COMPARED = ("micrograd", "numpy", "torch")
REPEATING = ("overhead", "chain")  # they change no weights: all steps give the same
STEPPED = [w.name for w in benchmark.WORKLOADS.values() if w.make]


def losses(workload, engine):
    count = 1 if workload in REPEATING else 5
    return benchmark.first_losses(benchmark.build_step(workload, engine, "float64"), count)


@pytest.mark.parametrize("workload", STEPPED)
def test_engines_have_the_same_first_losses(workload):
    found = {engine: losses(workload, engine) for engine in COMPARED}
    for engine in COMPARED[1:]:
        np.testing.assert_allclose(
            found[engine], found["micrograd"], rtol=1e-9, atol=0, err_msg=f"{workload}, {engine}"
        )
    if workload not in REPEATING:
        assert len(set(found["micrograd"])) == 5, f"{workload}: {found['micrograd']} stand still"


def test_an_engine_is_measured_without_another_in_its_process():
    for engine in benchmark.installed_engines():
        code = f"import sys, benchmark; benchmark.build_step('moons', '{engine}', 'float64')"
        imported = benchmark.fresh_python(f"{code}; print(*sys.modules)").split()
        assert {"jit": "micrograd.jit"}.get(engine, engine) in imported
        own = {engine, "numpy", *(["micrograd"] if engine == "jit" else [])}
        assert not (benchmark.ENGINES.keys() - own).intersection(imported)
        files = [name for name in imported if name.startswith("benchmarks.with_")]
        assert files == [f"benchmarks.with_{engine}"]


def test_engines_build_only_workloads_that_there_are():
    for engine in benchmark.installed_engines():
        names = benchmark.offers(engine)
        assert names, engine
        assert set(names) <= benchmark.WORKLOADS.keys(), engine


def test_different_losses_are_an_error_that_names_the_engine():
    same = {"micrograd": [1.0, 0.5], "numpy": [1.0, 0.5 + 1e-12]}
    benchmark.check_losses("mnist", "float64", same)
    with pytest.raises(SystemExit, match=r"mnist, float64: the losses of PyTorch \[1.0, 0.6\]"):
        benchmark.check_losses("mnist", "float64", {**same, "torch": [1.0, 0.6]})


def test_a_missing_engine_is_named_and_left_out(monkeypatch, capsys):
    find = benchmark.importlib.util.find_spec
    monkeypatch.setattr(
        benchmark.importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    found = benchmark.installed_engines()
    assert "torch" not in found
    assert found[:3] == ["micrograd", "jit", "numpy"]
    assert "PyTorch is left out, it is not installed: pip install torch" in capsys.readouterr().out


def test_ratios_are_medians_of_the_ratios_within_a_round():
    result = benchmark.Result(
        "mnist", "float64", "s", {"micrograd": [1e-3, 2e-3, 9e-3], "numpy": [1e-3, 1e-3, 3e-3]}
    )
    assert result.medians == {"micrograd": 2e-3, "numpy": 1e-3}
    assert result.ratios == pytest.approx({"numpy": 0.5})
    assert benchmark.table([result]).splitlines() == [
        "| workload | dtype   | micrograd | NumPy by hand |",
        "| ---      | ---     | ---:      | ---:          |",
        "| mnist    | float64 | 2.00 ms   | 0.50          |",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.01234, "s", "12.3 ms"),
        (1.5, "s", "1500 ms"),
        (0.000999, "s", "999 µs"),
        (1.234e-6, "s", "1.23 µs"),
        (1.9e-7, "s", "190 ns"),
        (50 * 2**20, "B", "50 MB"),
    ],
)
def test_amounts_are_shown_with_three_digits(value, unit, shown):
    assert benchmark.amount(value, unit) == shown


def test_a_picture_is_drawn(tmp_path):
    rounds = {"micrograd": [1e-3], "numpy": [9e-4], "torch": [2e-3]}
    results = [benchmark.Result("mnist", dtype, "s", rounds) for dtype in ("float32", "float64")]
    around = {"processor": "A processor", "date": "today"}
    benchmark.draw_picture(results, around, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def run(*options):
    command = [sys.executable, ROOT / "misc" / "benchmark.py", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_the_script_runs_and_writes_its_figures(tmp_path):
    files = ("--json", tmp_path / "figures.json", "--markdown", tmp_path / "figures.md")
    done = run("--quick", "--only", "moons", "--rounds", "2", *files)
    assert done.returncode == 0, done.stderr
    assert "| moons    | float64 |" in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    markdown = (tmp_path / "figures.md").read_text(encoding="utf-8")
    assert figures["processor"] in markdown.splitlines()[0]
    assert "\n\n| workload | dtype   |" in markdown
    assert markdown.rstrip() in done.stdout
    assert {"date", "python", "numpy", "torch", "blas", "processor", "cores"} <= figures.keys()
    (table,) = figures["tables"]
    assert (table["threads"], table["clock"], table["rounds"]) == (1, False, 2)
    (row,) = table["results"]
    assert (row["workload"], row["dtype"]) == ("moons", "float64")
    assert set(COMPARED) <= row["medians"].keys()
    assert all(len(times) == 2 and min(times) > 0 for times in row["rounds"].values())
    assert row["ratios"].keys() == row["medians"].keys() - {"micrograd"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "mnits"], "argument --only: invalid choice: 'mnits'"),
        (["--rounds", "0"], "--rounds: expected at least 1, got 0"),
        (["--json", "missing/figures.json"], "--json: there is no directory missing"),
        (["--markdown", "missing/figures.md"], "--markdown: there is no directory missing"),
    ],
)
def test_wrong_options_are_an_error_without_a_traceback(options, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *options])
    with pytest.raises(SystemExit) as stopped:
        benchmark.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
