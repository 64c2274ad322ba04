"""Memory, compile time, ONNX files, imports and growth with size."""

from __future__ import annotations

from benchmarks.page.bars import Bar, Row
from benchmarks.page.contest import Contest
from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import Column, Section
from benchmarks.page.words import error, number

STREAMING = "python -m benchmarks.memory.streaming"
RECOMPUTE = "python -m benchmarks.memory.recompute"
COMPILE = "python -m benchmarks.compiling.compile_time"
READY = "python -m benchmarks.structures.ready_made"
FIRST = "python -m benchmarks.compiling.first_call"
SCALING = "python -m benchmarks.compiling.scaling"
ONNX = "python -m benchmarks.structures.onnx"
PACKING = "python -m benchmarks.structures.packing"
BIF = "python -m benchmarks.structures.bayesian_networks"


def _mean(line: Line) -> str:
    mean = line.get("mean_log_likelihood")
    return "" if mean is None else f"{mean:.4f}"


IMPORTED: dict[str, Column] = {
    "file": "file",
    "stage": "stage",
    "nodes": "nodes",
    "torch": "torch_float32_ms",
    "node by node": "node_by_node_ms",
    "SPFlow": "spflow_ms",
    "log-likelihood": _mean,
}


def costs(results: Results) -> Section:
    """What circuits take besides the time of their passes."""
    section = Section("Memory, compile time, files and size")
    section.part("Memory")
    _streaming(section, results.read("streaming", STREAMING))
    _recompute(section, results.read("recompute", RECOMPUTE))
    section.part("Compile time")
    _compile(section, results.read("compile_time", COMPILE))
    _first(section, results.read("first_call", FIRST))
    _structures(section, results.read("structures", READY))
    _scaling(section, results.read("scaling", SCALING))
    section.part("ONNX files")
    _onnx(section, results.read("onnx", ONNX))
    section.part("Circuits from other programs")
    _imported(section, results.read("packing", PACKING))
    _bayesian(section, results.read("bayesian_networks", BIF))
    return section


def _streaming(section: Section, result: Result) -> None:
    lines = result.having("n", "splits", "predicted_mib")
    splits, sizes = unique(x["splits"] for x in lines), unique(x["n"] for x in lines)
    section.measured(
        "MiB of values alive in a forward pass of 500 rows with a hypernetwork, by the number of "
        "[splits](howto/memory.md); 0 is level order. Predictions, marked `~`, where it did not "
        "run.",
        result,
        where="cpu",
    )
    cells = {(line["n"], line["splits"]): _mib(line) for line in lines}
    section.table(
        ("n", *(f"{count} splits" for count in splits)),
        [(f"{n:,}", *(cells.get((n, count), "") for count in splits)) for n in sizes],
    )
    rows = [
        Row(f"{n:,} variables", [_bar(line) for line in lines if line["n"] == n]) for n in sizes
    ]
    section.chart("streaming", "memory of a forward pass, measured or predicted", rows, unit="MiB")


def _bar(line: Line) -> Bar:
    return Bar(f"{line['splits']} splits", _measured(line))


def _measured(line: Line) -> float:
    return float(line.get("measured_mib") or line["predicted_mib"])


def _mib(line: Line) -> str:
    return ("" if line.get("measured_mib") else "~") + number(_measured(line))


def _recompute(section: Section, result: Result) -> None:
    section.measured(
        "A gradient of 50 rows, beyond the parameters and their gradients.", result, where="cpu"
    )
    columns = {
        "n": "n",
        "order": "how",
        "splits": "splits",
        "segments": "segments",
        "MiB": "mib",
        "s": "seconds",
    }
    section.fields(result.having("n", "how", "mib", "seconds"), columns)


def _compile(section: Section, result: Result) -> None:
    section.measured(
        "Seconds from the circuit to a model that is ready to train, for HyperSPNs; memory is that "
        "of the process with torch.",
        result,
        where="cpu",
    )
    columns = {
        "n": "n",
        "nodes": "nodes",
        "build": "build_s",
        "check": "check_s",
        "hypernetwork": "sectors_and_hypernetwork_s",
        "plan": "plan_s",
        "module": "module_s",
        "total": "total_s",
        "print": "print_s",
        "peak GiB": "peak_gib_with_torch",
    }
    section.fields(result.having("n", "nodes", "total_s"), columns)


FIRSTS: dict[str, Column] = {
    "structure": "structure",
    "units": "units",
    "kernels cached": lambda line: "yes" if line["cached"] else "no",
    "compile": "compile_s",
    "first call": "first_call_s",
    "first two steps": "first_steps_s",
    "import of sympy": "sympy_s",
}


def _first(section: Section, result: Result) -> None:
    section.measured(
        "Seconds in a fresh process on a GPU: `pc.compile`, the first call of `log_likelihood`, "
        "and the first two steps of `fit` with their CUDA graph, without and with kernels that an "
        "earlier process has compiled. torch imports sympy for the first gradient.",
        result,
    )
    section.fields(result.having("structure", "cached", "first_call_s"), FIRSTS)


def _structures(section: Section, result: Result) -> None:
    section.measured("Ready-made structures, in seconds unless said.", result, where="cpu")
    columns = {
        "structure": "structure",
        "nodes": "nodes",
        "tree from data": "tree_s",
        "build": "build_s",
        "check": "check_s",
        "plan": "plan_s",
        "compile": "compile_s",
        "rows": "batch",
        "step, ms": "step_ms",
        "peak GiB": "peak_gib_with_torch",
    }
    section.fields(result.having("structure", "nodes", "compile_s"), columns)


def _scaling(section: Section, result: Result) -> None:
    lines = result.having("step", "nodes", "edges", "seconds")
    steps = [step for step in unique(line["step"] for line in lines) if step != "nothing"]
    cells = {(line["nodes"], line["step"]): line for line in lines}
    section.measured(
        "Scalar circuits by size: seconds of each step, each in a process of its own; in "
        "parentheses the peak MiB of that process.",
        result,
        where="cpu",
    )
    section.table(
        ("nodes", "edges", *steps),
        [
            (
                f"{nodes:,}",
                f"{edges:,}",
                *(
                    f"{number(x['seconds'])} ({number(x['peak_mib'])})" if x else ""
                    for x in (cells.get((nodes, step)) for step in steps)
                ),
            )
            for nodes, edges in unique((line["nodes"], line["edges"]) for line in lines)
        ],
    )


def _onnx(section: Section, result: Result) -> None:
    worst = max(line["max_relative_error"] for line in result.having("max_relative_error"))
    section.measured(
        "HyperSPNs as ONNX files, with the hypernetwork (compact) or its weights (materialized), "
        "and the time of ONNX Runtime for 1,000 rows. Log-likelihoods differ by at most "
        f"{error(worst)}, relative.",
        result,
        where="cpu",
    )
    columns: dict[str, Column] = {
        "n": "n",
        "weights": "weights",
        "kB": lambda line: line["bytes"] / 1000,
        "kB of parameters": lambda line: line["parameter_bytes"] / 1000,
        "export, s": "export_s",
        "ms per 1,000 rows": "ms_per_1000_rows",
    }
    section.fields(result.having("n", "weights", "bytes", "ms_per_1000_rows"), columns)


def _imported(section: Section, result: Result) -> None:
    """What is measured once a file, and not after passes, stands on the line without a stage."""
    files = {line["file"]: line for line in result.having("file", "rows", "node_by_node_ms")}
    stages = result.having("file", "stage", "nodes", "torch_float32_ms")
    section.measured(
        "Circuits of other programs in torch, as read and after passes, in ms per 1,000 rows; "
        "beside it NumPy node by node, and SPFlow. The last column is the mean test log-likelihood "
        "in nats.",
        result,
        where="cpu",
    )
    rows = [
        {**files[line["file"]], **line} if line["stage"] == "as read" else line for line in stages
    ]
    section.fields(rows, IMPORTED)
    section.beside(
        [
            Contest(f"{x['file']}, {x['stage']}", x["torch_float32_ms"], "SPFlow", theirs)
            for x in stages
            if (theirs := files[x["file"]].get("spflow_ms"))
        ]
    )
    _generated(section, result)


def _generated(section: Section, result: Result) -> None:
    section.say("Seconds for large generated circuits, in the same run:")
    columns = {
        "circuit": "circuit",
        "nodes": "nodes",
        "edges": "edges",
        "build": "build_s",
        "check": "check_s",
        "pack": "pack_s",
        "plan": "plan_s",
        "check, pack and plan": "total_s",
        "peak MB": "peak_mb",
    }
    section.fields(result.having("circuit", "edges", "total_s"), columns)


def _bayesian(section: Section, result: Result) -> None:
    section.measured("Large Bayesian networks, in seconds.", result, where="cpu")
    columns = {name: name for name in ("case", "variables", "nodes", "edges")}
    columns |= {"read": "read_s", "to a circuit": "circuit_s", "to a model": "model_s"}
    section.fields(result.having("case", "nodes", "edges", "read_s"), columns)
