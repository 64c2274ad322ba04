# %% [markdown]
"""# The whole story, on real data

`make demo` runs this script. It declares a circuit, and lets a check find a mistake. It trains a
HyperSPN and its rival, an SPN with a parameter for every weight, on 200 pictures of digits. It asks
questions, completes pictures, exports the model, and gets the same answers from ONNX Runtime. At
the end there is a page of pictures.
"""

# %%
from __future__ import annotations

import base64
import io
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from html import escape
from inspect import getsource
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.drawing import draw
from pccompiler.torch_backend import Evaluation, mean_log_likelihood

Floats = NDArray[np.float64]

# %% [markdown]
# ## What is compared
#
# The paper claims that generated weights generalise better. That should show where many weights
# meet few rows: 64 pixels of 17 grey levels, 200 pictures to train on and 100 to validate. Both
# models have the paper's structure, random trees. Each gets three settings; the validation rows
# choose one, and say when to stop. The test rows only report.

# %%
TRAIN, VALID = 200, 100
REPLICAS, UNITS = 10, 5
WHY = f"""\
Generated weights should generalise better where many weights meet few rows. So: 64 pixels of 17
grey levels, {TRAIN} pictures to train on, and {REPLICAS} of the paper's random trees for both.
Each model gets three settings; {VALID} validation pictures choose one, and say when to stop.
Pictures: Alpaydin and Kaynak (1998), UCI Machine Learning Repository, CC BY 4.0.
"""


class Setting(NamedTuple):
    """What Adam is told."""

    learning_rate: float
    weight_decay: float = 0.0


SETTINGS = {
    "HyperSPN": [Setting(0.01), Setting(0.02), Setting(0.04)],
    "SPN": [Setting(0.02, 0.1), Setting(0.02, 0.3), Setting(0.02, 1.0)],
}
COLOURS = {"HyperSPN": "C0", "SPN": "C3"}


def load() -> pc.datasets.Dataset:
    """The first rows of the training and the validation part, and the whole test part."""
    digits = pc.datasets.load("digits")
    few = digits.train[:TRAIN], digits.valid[:VALID]
    return pc.datasets.Dataset(digits.name, *few, digits.test)


# %% [markdown]
# ## Declare, check, explain


# %%
def garden() -> pc.Circuit:
    """Rain, and wet grass."""
    rain, wet = pc.variables("rain", "wet")
    dry_day = (rain == 0) * wet.bernoulli(0.2)
    rainy_day = (rain == 1) * wet.bernoulli(0.9)
    circuit: pc.Circuit = (0.7 * dry_day + 0.3 * rainy_day).circuit()
    return circuit


def forgetful() -> pc.Circuit:
    """The same, but what rain does to the grass is forgotten."""
    rain, wet = pc.variables("rain", "wet")
    dry_day = (rain == 0) * wet.bernoulli(0.2)
    circuit: pc.Circuit = (0.7 * dry_day + 0.3 * (rain == 1)).circuit()
    return circuit


def declare(out: Path) -> str:
    """Show a mistake and what the checks say, then a sound circuit; returns its picture as SVG."""
    try:
        pc.compile(forgetful())
    except pc.PCCompilerError as error:
        print(f"{getsource(forgetful)}\nThe checks do not let it pass:\n{error}\n")
    print(f"{getsource(garden)}\nThis one passes. What runs, and where:")
    _, layers, engines, *_ = str(pc.explain(garden())).split("\n\n")
    print(f"{layers}\n\n{engines}")
    return draw(garden(), out / "garden.svg").read_text()


# %% [markdown]
# ## Train


# %%
@dataclass
class Run:
    """One trained model.

    Attributes:
        name: Of the model.
        seed: Of the initial weights and of the batches.
        setting: What Adam was told.
        model: With the parameters that were best on the validation rows.
        valid: Its mean log-likelihood of the validation rows, in nats.
        test: Of the test rows.
        seconds: Of training.
        curve: Step, and the mean log-likelihood of the test rows after it.
    """

    name: str
    seed: int
    setting: Setting
    model: pc.CompiledCircuit
    valid: float = 0.0
    test: float = 0.0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])


def train(name: str, setting: Setting, seed: int, steps: int) -> Run:
    """Train until the validation rows have not improved for ten evaluations."""
    data = load()
    pixels = [pc.categorical(f"pixel{i}", 17) for i in range(64)]
    circuit = pc.rat_spn(pixels, REPLICAS, UNITS, seed=0)
    weights = pc.Hypernetwork() if name == "HyperSPN" else pc.Direct()
    run = Run(name, seed, setting, pc.compile(circuit, weights, seed=seed))

    def note(evaluation: Evaluation) -> None:
        run.curve.append((evaluation.step, mean_log_likelihood(run.model, data.test)))

    history = pc.fit(
        run.model,
        data.train,
        data.valid,
        steps=steps,
        batch_size=100,
        learning_rate=setting.learning_rate,
        weight_decay=setting.weight_decay,
        evaluate_every=25,
        patience=10,
        seed=seed,
        on_evaluation=note,
    )
    run.valid, run.seconds = history.best_valid or -np.inf, history.seconds
    run.test = mean_log_likelihood(run.model, data.test)
    print(
        f"{name:<9} seed {seed}, learning rate {setting.learning_rate:<4}, weight decay "
        f"{setting.weight_decay:<3}: validation {run.valid:8.2f} nats, {run.seconds:4.1f} s"
    )
    return run


def compare(name: str, seeds: int, steps: int) -> list[Run]:
    """Choose a setting by the validation rows, with seed 0, and train with the other seeds."""
    tried = [train(name, setting, 0, steps) for setting in SETTINGS[name]]
    best = max(tried, key=lambda run: run.valid)
    return [best, *(train(name, best.setting, seed, steps) for seed in range(1, seeds))]


def summary(runs: dict[str, list[Run]]) -> list[list[str]]:
    """A row for each model: its size, its test value with each seed, their mean and deviation."""
    rows = [["model", "parameters", "test log-likelihood of each seed (nats)", "mean ± deviation"]]
    for name, found in runs.items():
        tests = [run.test for run in found]
        spread = f" ± {stdev(tests):.2f}" if len(tests) > 1 else ""
        each = ", ".join(f"{test:.2f}" for test in tests)
        rows.append(
            [name, f"{found[0].model.num_parameters:,}", each, f"{fmean(tests):.2f}{spread}"]
        )
    return rows


def verdict(runs: dict[str, list[Run]]) -> str:
    """Who is ahead on the test rows, whoever it is."""
    gaps = [ours.test - rival.test for ours, rival in zip(*runs.values(), strict=True)]
    winner = "HyperSPN" if fmean(gaps) > 0 else "SPN"
    agreeing = sum((gap > 0) == (winner == "HyperSPN") for gap in gaps)
    return (
        f"The {winner} is ahead by {abs(fmean(gaps)):.2f} nats a picture on average, and on "
        f"{agreeing} of {len(gaps)} seeds."
    )


# %% [markdown]
# ## Ask, complete, export


# %%
def ask(model: Any, test: Floats) -> Floats:
    """Three questions, about each picture; any model that takes missing values can answer."""
    upper = test.copy()
    upper[:, 32:] = np.nan  # the lower half is not known
    swapped = np.concatenate([test[:, :32], np.roll(test, 1, axis=0)[:, 32:]], axis=1)
    tables = test, upper, swapped
    whole, half, other = (
        np.asarray(torch.as_tensor(model.log_likelihood(rows)).detach(), np.float64)
        for rows in tables
    )
    return np.stack([whole, whole - half, other - half])


QUESTIONS = (
    "log p(picture)",
    "log p(its lower half | its upper half)",
    "log p(another picture's lower half | its upper half)",
)


def ask_both(model: pc.CompiledCircuit, test: Floats, out: Path) -> str:
    """Ask torch and ONNX Runtime the same; returns how far the answers differ.

    Raises:
        SystemExit: If they differ by more than float32 explains.
    """
    by_torch = ask(model, test)
    for question, values in zip(QUESTIONS, by_torch, strict=True):
        print(f"{question:<54}", *(f"{value:8.1f}" for value in values))
    report = pc.export_onnx(model, out / "digits.onnx")
    by_onnx = ask(pc.OnnxModel(report.path), test)
    worst = float(np.abs((by_onnx - by_torch) / by_torch).max())
    if worst > 1e-4:
        sys.exit(f"ONNX Runtime and torch differ by {worst:.1e}")
    return (
        f"{report.path.name}, {report.bytes:,} bytes: ONNX Runtime's answers equal torch's to "
        f"{worst:.0e} of their size."
    )


def complete(runs: dict[str, list[Run]], test: Floats) -> Figure:
    """Upper halves, and what each model makes of them: the mean, and two draws."""
    upper = test.copy()
    upper[:, 32:] = np.nan
    rows = {"picture": test, "given": upper}
    for name, (run, *_) in runs.items():
        rows[f"{name}: mean"] = run.model.posterior_marginals(upper).mean.detach().numpy()
        draws = run.model.sample_conditional(upper, 2, seed=0)
        rows |= {f"{name}: draw {i + 1}": draws[:, i].numpy() for i in range(2)}
    return gallery(rows)


# %% [markdown]
# ## Pictures


# %%
def gallery(rows: dict[str, Floats]) -> Figure:
    """Rows of 8 x 8 pictures, each with its title."""
    width = len(next(iter(rows.values())))
    figure = Figure(figsize=(1.6 + 0.75 * width, 0.78 * len(rows)), layout="constrained")
    grid = np.atleast_2d(figure.subplots(len(rows), width))
    for line, (title, images) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(title, rotation=0, ha="right", va="center")
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            axes.set(xticks=[], yticks=[])
    return figure


def curves(runs: dict[str, list[Run]]) -> Figure:
    """Test log-likelihood by step, a line for each seed."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, found in runs.items():
        for run in found:
            label = name if run is found[0] else None
            axes.plot(*zip(*run.curve, strict=True), color=COLOURS[name], label=label)
    highest = max(value for found in runs.values() for run in found for _, value in run.curve)
    axes.set(xlabel="step", ylabel="test log-likelihood (nats)", ylim=(highest - 50, highest + 5))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def as_image(figure: Figure) -> str:
    """The figure inside the page."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the heading."""
    head, *body = (
        "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        for tag, row in zip(["th", *["td"] * (len(rows) - 1)], rows, strict=True)
    )
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in (head, *body))}</table>"


STYLE = """body { font: 16px sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em }
pre { background: #f4f4f4; padding: 1em; white-space: pre-wrap; font-size: 13px }
img, svg { max-width: 100%; height: auto } table { border-collapse: collapse }
td, th { border: 1px solid #ccc; padding: .3em .8em; text-align: left }"""


class Report:
    """Chapters: printed while they run, and kept for the page."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.times = [["chapter", "seconds"]]

    @contextmanager
    def chapter(self, title: str) -> Generator[list[str]]:
        """Print a title, run the chapter, and add what it prints, and the pictures that it adds."""
        print(f"\n== {title}", flush=True)
        start, said, pictures = time.perf_counter(), io.StringIO(), list[str]()
        with redirect_stdout(Both(sys.stdout, said)):
            yield pictures
        self.times.append([title, f"{time.perf_counter() - start:.1f}"])
        text = f"<pre>{escape(said.getvalue())}</pre>" if said.getvalue() else ""
        self.parts.append(f"<h2>{escape(title)}</h2>{text}{''.join(pictures)}")

    def write(self, path: Path) -> Path:
        """Write one file that needs no other."""
        body = f"<h1>pccompiler</h1>{''.join(self.parts)}<h2>Times</h2>{as_table(self.times)}"
        head = f"<meta charset='utf-8'><title>pccompiler: the demo</title><style>{STYLE}</style>"
        path.write_text(f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body>")
        return path


class Both(io.TextIOBase):
    """Writes to two streams."""

    def __init__(self, *streams: Any) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        """Write ``text`` to each."""
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush each."""
        for stream in self.streams:
            stream.flush()


# %% [markdown]
# ## All of it


# %%
def main(out: Path, *, seeds: int = 3, steps: int = 800) -> Path:
    """Run the demo; returns the path of the page."""
    out.mkdir(parents=True, exist_ok=True)
    report, test = Report(), load().test[:6].astype(np.float64)
    with report.chapter("Declare a circuit") as pictures:
        pictures.append(declare(out))
    with report.chapter(f"Train two models on {TRAIN} pictures"):
        print(WHY)
        runs = {name: compare(name, seeds, steps) for name in SETTINGS}
    with report.chapter("Compare them on 500 test pictures") as pictures:
        for row in summary(runs):
            print("{:<9} {:>10}  {:<41} {}".format(*row))
        print(verdict(runs))
        pictures.append(as_image(curves(runs)))
    model = runs["HyperSPN"][0].model
    with report.chapter("Ask three questions about six test pictures, in torch and ONNX Runtime"):
        print(ask_both(model, test, out))
    with report.chapter("Complete them from their upper halves") as pictures:
        pictures.append(as_image(complete(runs, test)))
        drawn = draw(model.circuit, out / "structure.svg", what="layers").read_text()
        pictures += ["<h3>The structure of both models, from the root down</h3>", drawn]
    return report.write(out / "index.html")


if __name__ == "__main__":
    print(f"\nThe page: {main(Path('out/demo')).resolve()}")
