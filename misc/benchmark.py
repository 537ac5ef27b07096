"""Measure micrograd against NumPy written by hand, PyTorch and others.

    pip install -e '.[bench]'
    python misc/benchmark.py
    python misc/benchmark.py --markdown figures.md
    python misc/benchmark.py --only mnist gpt --rounds 21 --json figures.json

MyGrad, autograd and JAX join in where they are installed. Every engine runs in a process of its
own, with one thread, and they take turns, so that whatever else the machine does meets them alike.
A time is processor time; a ratio is the other's time over micrograd's, above 1 where micrograd is
the faster one: the median, over the rounds, of the ratio within a round.
Before the clock starts, the first losses of all engines must be the same, from the same weights and
data. A workload is one entry in `WORKLOADS`, with a function that makes its data, and one in each
engine's file in benchmarks/: a function that builds `step()` from the data, which returns the loss,
or a list of arrays whose sum stands for it.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.shared import make_chain, make_conv, make_gpt, make_mlp, make_moons, make_optimizer

# Measuring: what an engine's process is asked to do


def first_losses(step, count=5):
    """The first losses as floats; of arrays the sum."""
    losses = []
    for _ in range(count):
        value = step()
        parts = value if isinstance(value, list) else [value]
        losses.append(sum(float(np.sum(np.asarray(part), dtype=np.float64)) for part in parts))
    return losses


def timed(step, count):
    """The seconds that so many steps take, of the processor and of the clock."""
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        step()
    return time.process_time() - processor, time.perf_counter() - clock


def steps_for(step, seconds):
    """How many steps take about so long."""
    count = 1
    while (elapsed := timed(step, count)[0]) < seconds / 4:
        count *= 2
    return max(1, round(seconds * count / elapsed))


def resident_memory(step, first, last):
    """The bytes the process holds after `first` and `last` steps, without the garbage collector."""
    gc.disable()
    sizes = []
    for count in (first, last - first):
        timed(step, count)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))
    return sizes


def build_step(workload, engine, dtype):
    """The engine's step of the workload. Its file imports the engine, and nothing else does."""
    file = importlib.import_module(f"benchmarks.with_{engine}")
    return file.WORKLOADS[workload](WORKLOADS[workload].make(dtype))


def serve(pipe, workload, engine, dtype):
    """The life of an engine's process: build the step, then do what is asked until the end."""
    step = build_step(workload, engine, dtype)
    while (message := pipe.recv()) is not None:
        function, *arguments = message
        pipe.send(function(step, *arguments))


# Measuring: who is asked, and in which order


@dataclass
class Result:
    """What the rounds of one workload gave: seconds or bytes, by engine."""

    workload: str
    dtype: str
    unit: str
    rounds: dict[str, list[float]]
    growth: dict[str, float] = field(default_factory=dict)  # bytes, of the memory workload

    @property
    def medians(self):
        return {engine: statistics.median(values) for engine, values in self.rounds.items()}

    @property
    def ratios(self):
        """Each other engine over micrograd: the median of the rounds' ratios."""
        others = {engine: values for engine, values in self.rounds.items() if engine != "micrograd"}
        pairs = {engine: zip(self.rounds["micrograd"], values) for engine, values in others.items()}
        return {engine: statistics.median(b / a for a, b in pairs[engine]) for engine in others}


@dataclass(frozen=True)
class Plan:
    """How much is measured, and what: processor time, or the clock."""

    rounds: int
    seconds: float  # of one engine in one round
    memory_steps: tuple[int, int]
    threads: int = 1
    clock: bool = False


@contextmanager
def processes(workload, dtype, engines, threads):
    """For each engine a function that asks its process to run a function on its step."""
    for library in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_THREADS"] = str(threads)  # read when NumPy is imported
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
    context = multiprocessing.get_context("spawn")

    def stop(pipe, process):
        with suppress(OSError):  # it has died already
            pipe.send(None)
        process.join()

    def start(engine):
        pipe, end = context.Pipe()
        arguments = (end, workload.name, engine, dtype)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        end.close()
        stack.callback(stop, pipe, process)

        def ask(function, *arguments):
            try:
                pipe.send((function, *arguments))
                return pipe.recv()
            except (EOFError, OSError):
                name = ENGINES[engine].title
                raise SystemExit(f"{workload.name}, {dtype}: the process of {name} died") from None

        return ask

    with ExitStack() as stack:
        yield {engine: start(engine) for engine in engines}


def measure_steps(workload, dtype, engines, plan, tick):
    """The time of a step, per operation if the workload says how many there are."""
    rounds = {engine: [] for engine in engines}
    with processes(workload, dtype, engines, plan.threads) as ask:
        check_losses(workload.name, dtype, {e: ask[e](first_losses) for e in engines})
        counts = {engine: ask[engine](steps_for, plan.seconds) for engine in engines}
        for turn in range(plan.rounds):
            for engine in engines if turn % 2 else reversed(engines):
                if plan.threads > 1:
                    time.sleep(0.3)  # threads spin for a while before they sleep
                seconds = ask[engine](timed, counts[engine])[plan.clock]
                rounds[engine].append(seconds / (counts[engine] * workload.operations))
            tick()
    return Result(workload.name, dtype, "s", rounds)


def check_losses(workload, dtype, losses):
    """The first losses of every engine are those of the first one, or nothing is measured."""
    tolerance = {"float32": 1e-4, "float64": 1e-9}[dtype]  # relative
    first, *others = losses
    for engine in others:
        if not np.allclose(losses[engine], losses[first], rtol=tolerance, atol=0):
            raise SystemExit(
                f"{workload}, {dtype}: the losses of {ENGINES[engine].title} {losses[engine]} are "
                f"not those of {ENGINES[first].title} {losses[first]}"
            )


def measure_import(workload, dtype, engines, plan, tick):
    """The processor time of a fresh Python that imports the engine, its own start included."""
    rounds = {engine: [] for engine in engines}

    def seconds(engine):
        return float(fresh_python(f"import {engine}, time; print(time.process_time())"))

    for engine in engines:
        seconds(engine)  # this time Python also compiles
    for _ in range(plan.rounds):
        for engine in [*engines, *reversed(engines)]:
            rounds[engine].append(seconds(engine))
        tick()
    return Result(workload.name, dtype, "s", rounds)


def fresh_python(code):
    """What a new Python prints that runs the code; what it imports is compiled from then on."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip


def measure_memory(workload, dtype, engines, plan, tick):
    """The resident memory of each engine's whole process after many steps, and how it grew."""
    rounds, growth = {}, {}
    for engine in engines:
        with processes(workload, dtype, [engine], plan.threads) as ask:
            before, after = ask[engine](resident_memory, *plan.memory_steps)
        rounds[engine], growth[engine] = [after], after - before
    tick(plan.rounds)
    return Result(workload.name, dtype, "B", rounds, growth)


# What is measured


@dataclass(frozen=True)
class Engine:
    """How it is shown, and what must be installed; its work is in benchmarks/with_<its name>.py."""

    title: str
    package: str
    color: str = ""
    marker: str = ""


@dataclass(frozen=True)
class Workload:
    """One thing to measure: `make(dtype)` gives the data from which an engine builds its step."""

    name: str
    title: str
    make: Callable | None
    dtypes: tuple[str, ...] = ("float32", "float64")
    operations: int = 1  # of a step; the time is per operation
    clock: bool = False  # also measured with two threads
    measure: Callable = measure_steps
    engines: tuple[str, ...] = ()  # that take part although there is no step for them to build


HERE = Path(__file__).resolve().parent
ENGINES = {
    "micrograd": Engine("micrograd", "numpy"),
    "jit": Engine("micrograd, jit", "numpy", "#56B4E9", "P"),
    "numpy": Engine("NumPy by hand", "numpy", "#0072B2", "o"),
    "torch": Engine("PyTorch", "torch", "#D55E00", "s"),
    "mygrad": Engine("MyGrad", "mygrad", "#009E73", "^"),
    "autograd": Engine("autograd", "autograd", "#CC79A7", "D"),
    "jax": Engine("JAX (jit)", "jax", "#7F7F7F", "v"),
}

mnist = partial(make_mlp, sizes=(784, 128, 64, 10), batch=64)
wide = partial(make_mlp, sizes=(784, 1024, 1024, 10), batch=1024)
WORKLOADS = {
    w.name: w
    for w in (
        Workload("mnist", "784-128-64-10, batch 64, cross-entropy, squares in the loss, SGD",
                 partial(mnist, alpha=1e-4), clock=True),
        Workload("mnist-decay", "the same, with weight decay in SGD instead of the squares",
                 partial(mnist, decay=2e-4)),
        Workload("wide", "784-1024-1024-10, batch 1024, cross-entropy, SGD", wide, clock=True),
        Workload("moons", "2-16-16-1, 100 points, max-margin loss, SGD", make_moons),
        Workload("overhead", "501 operations on 0-d tensors, time per operation",
                 partial(make_chain, operations=501), operations=501),
        Workload("chain", "99,999 operations on 0-d tensors, time per operation",
                 partial(make_chain, operations=99_999), operations=99_999),
        Workload("conv", "two 3x3 convolutions with pooling, 64 images of 28x28, SGD",
                 make_conv, clock=True),
        Workload("gpt", "2 blocks of width 64 with 4 heads, batch 32 x 16, AdamW",
                 make_gpt, clock=True),
        Workload("sgd", "a step of SGD on 109,386 parameters",
                 partial(make_optimizer, kind="sgd")),
        Workload("adam", "a step of Adam on 109,386 parameters",
                 partial(make_optimizer, kind="adam")),
        Workload("import", "a Python process that imports it and ends",
                 None, dtypes=("",), measure=measure_import,
                 engines=("micrograd", "numpy", "torch")),
        Workload("memory", "what the process holds after 2,000 steps of mnist",
                 partial(mnist, alpha=1e-4), measure=measure_memory),
    )
}  # fmt: skip


# What comes out


def measure(workloads, plan, quick, offered, label):
    """The results of all workloads in all their dtypes, with a progress bar."""
    from tqdm import tqdm

    cases = [(w, dtype) for w in workloads for dtype in (w.dtypes[-1:] if quick else w.dtypes)]
    results = []
    with tqdm(total=len(cases) * plan.rounds, desc=label) as bar:
        for workload, dtype in cases:
            bar.set_postfix_str(f"{workload.name} {dtype}")
            engines = [engine for engine, names in offered.items() if workload.name in names]
            results.append(workload.measure(workload, dtype, engines, plan, bar.update))
    return results


def table(results):
    """A Markdown table: what micrograd takes, and how many times as long each other engine."""
    others = [engine for engine in ENGINES if any(engine in r.ratios for r in results)]
    rows = [["workload", "dtype", "micrograd", *(ENGINES[e].title for e in others)]]
    for r in results:
        ratios = [f"{r.ratios[e]:.2f}" if e in r.ratios else "" for e in others]
        rows.append([r.workload, r.dtype, amount(r.medians["micrograd"], r.unit), *ratios])
    rows.insert(1, ["---", "---"] + ["---:"] * (len(others) + 1))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    )


def amount(value, unit):
    """Seconds or bytes for people: three digits, or whole megabytes."""
    if unit == "B":
        return f"{value / 2**20:.0f} MB"
    units = ((1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
    value, name = next((value * factor, name) for factor, name in units if value * factor >= 1)
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f} {name}"


def remarks(results):
    """What the table has no column for."""
    per_operation = {(r.workload, r.dtype): r.medians["micrograd"] for r in results}
    for r in results:
        short = per_operation.get(("overhead", r.dtype))
        if r.workload == "chain" and short:
            times = r.medians["micrograd"] / short
            yield f"chain, {r.dtype}: an operation takes micrograd {times:.2f} times as in overhead"
        if r.growth:
            sizes = [f"{ENGINES[e].title} {g / 2**20:+.2f} MB" for e, g in r.growth.items()]
            yield f"memory, {r.dtype}: growth from a tenth of the steps on: {', '.join(sizes)}"


def draw_picture(results, around, path):
    """A dot for every ratio: how many times as long as micrograd the others take."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r.workload for r in results))
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4.8), sharex=True, sharey=True)
    for panel, dtype in zip(panels, ("float32", "float64")):
        shown = [r for r in results if r.dtype in (dtype, "")]
        for engine, e in ENGINES.items():
            points = [(r.ratios[engine], r.workload) for r in shown if engine in r.ratios]
            if points:
                x, y = zip(*[(ratio, names.index(name)) for ratio, name in points])
                panel.plot(x, y, e.marker, color=e.color, label=e.title, alpha=0.85)
        panel.axvline(1, color="black", linewidth=1)
        panel.set(title=f"{dtype}, one thread", xscale="log")
        panel.set_xlabel("times as long as micrograd; right of 1 micrograd is faster")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.suptitle(f"{around['processor']}, {around['date']}", fontsize=9, color="#555555")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def surroundings(installed):
    """The versions and the machine that the figures belong to."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    packages = sorted({ENGINES[engine].package for engine in installed})
    return {
        "date": datetime.date.today().isoformat(),
        "system": platform.system(),
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "blas": f"{blas['name']} {blas['version']}",
    }


def measured(around):
    """The surroundings in a sentence."""
    machine = "on {date}, {system}, {processor}, {cores} cores".format(**around)
    versions = [f"{name} {version}" for name, version in list(around.items())[4:]]
    return f"Measured {machine}; {', '.join(versions)}."


def parse():
    parser = argparse.ArgumentParser(
        description="Measure micrograd against NumPy written by hand, PyTorch and others.",
        epilog="Workloads: " + "; ".join(f"{w.name}: {w.title}" for w in WORKLOADS.values()) + ".",
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help="these workloads alone")
    add("--rounds", type=int, help="rounds, of which the median is taken (11)")
    add("--json", type=Path, metavar="PATH", help="write all figures to this file")
    add("--markdown", type=Path, metavar="PATH", help="write what is printed to this file, to be "
        "pasted into misc/README.md")  # fmt: skip
    add("--quick", action="store_true", help="short rounds in float64: to see that it runs")
    add("--no-picture", action="store_true", help="don't draw misc/benchmark.png, which a run of "
        "all workloads does, unless it is --quick")  # fmt: skip
    add("--threads-table", action=argparse.BooleanOptionalAction,
        help="also measure with two threads and the clock; the default unless --quick")  # fmt: skip
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 3 if options.quick else 11
    if options.threads_table is None:
        options.threads_table = not options.quick
    options.picture = not (options.no_picture or options.quick or options.only)
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {options.rounds}")
    for name in ("json", "markdown"):
        path = getattr(options, name)
        if path and not path.resolve().parent.is_dir():
            parser.error(f"--{name}: there is no directory {path.parent}")
    for package in ["tqdm"] + ["matplotlib"] * options.picture:
        if importlib.util.find_spec(package) is None:
            parser.error(f"this needs {package}: pip install -e '.[bench]'")
    return options


def installed_engines():
    """The engines whose package is there; the others are named."""
    found = [name for name, e in ENGINES.items() if importlib.util.find_spec(e.package)]
    for e in (engine for name, engine in ENGINES.items() if name not in found):
        print(f"{e.title} is left out, it is not installed: pip install {e.package}")
    return found


def offers(engine):
    """The names of the engine's workloads, asked of a process that may import it."""
    built = fresh_python(f"from benchmarks.with_{engine} import WORKLOADS; print(*WORKLOADS)")
    return [*built.split(), *(w.name for w in WORKLOADS.values() if engine in w.engines)]


def main():
    options, installed = parse(), installed_engines()
    workloads = [WORKLOADS[name] for name in dict.fromkeys(options.only or WORKLOADS)]
    if not Path("/proc/self/statm").exists() and WORKLOADS["memory"] in workloads:
        print("memory is left out: it is read from /proc, which Linux has")
        workloads.remove(WORKLOADS["memory"])
    plan = Plan(options.rounds, 0.15, (200, 2000))
    if options.quick:
        plan = Plan(options.rounds, 0.02, (20, 200))
    around, offered = surroundings(installed), {engine: offers(engine) for engine in installed}
    tables, texts = [], [measured(around)]

    def run(workloads, plan, label, explanation):
        results = measure(workloads, plan, options.quick, offered, label)
        rows = [{**asdict(r), "medians": r.medians, "ratios": r.ratios} for r in results]
        tables.append({**asdict(plan), "results": rows})
        texts.append("\n".join([f"{explanation}\n\n{table(results)}\n", *remarks(results)]).strip())
        print(f"\n{texts[-1]}")
        return results

    print(texts[0])
    results = run(
        workloads, plan, "one thread",
        "One thread, processor time. After micrograd's own figure: how many times as long as\n"
        "micrograd each other engine takes (of memory: as much). Above 1, micrograd is faster.",
    )  # fmt: skip
    clocked = [w for w in workloads if w.clock]
    if options.threads_table and clocked:
        run(
            clocked, replace(plan, threads=2, clock=True), "two threads",
            "Two threads, by the clock: only as good as the machine is idle. Here PyTorch divides\n"
            "its elementwise work among the threads as well, NumPy its matrix products alone.",
        )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({**around, "tables": tables}, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    if options.picture:
        draw_picture(results, around, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
