"""``docs/worries.md``, of ``worries.json`` alone. What it says of the figures is in ``telling.py``."""

import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

from worker.evaluation.networks import MAIN
from worker.evaluation.tables import markdown_table
from worker.evaluation.worries.pictures import NAMES, cell_name
from worker.evaluation.worries.telling import each, followed, last_step, mattered, network_beats

Figures = dict[str, Any]
_WIDTH = 118
_QUICK = "**A quick run: it shows that everything works, and no figure here means anything.**"


def page(found: Figures) -> str:
    """The page as Markdown."""
    explained = found["explanation"]
    parts = [
        _head(found["protocol"]), _data(found["little_data"]["rows"], found["little_data"]["norm8"]),
        _photos(found["little_data"]["enrolment"]), _compute(found["little_compute"]),
        _training(found["little_compute"]), _followed(explained["correlation"], explained["people"]),
        _mattered(explained["removal"]), _intruded(explained["intruders"]),
    ]  # fmt: skip
    return _wrapped("\n".join(parts))


def _head(about: Figures) -> str:
    fold = f"fold {about['fold'] + 1} of {about['folds']}"
    seeds = f"{about['seeds']} seed{'s' * (about['seeds'] > 1)}"
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"""# Three worries

{_QUICK if about["quick"] else ""}

Too little data, too little compute, a model that nobody can explain: each measured. Made by `{about["command"]}` on
{about["data"]}. {about["people_tested"]} people are tested ({fold}), who took no part in any training. Tracks,
opponents and measures are those of [evaluation.md](evaluation.md): A frames degraded independently, B bursts, C a track
that jumps to another person; T frames. {seeds}, each with training people of its own: a value is the mean, in
parentheses stand the least and the greatest. {versions}. Figures:
[worries.json](../benchmarks/worries.json).
"""


def _data(rows: list[Figures], norm8: list[Figures]) -> str:
    head = ["people", "", *(cell_name(row) for row in norm8)]
    relative = [_by_people(rows, partial(_missed, far)) for far in ("1e-3", "1e-4")]
    rule = ["–", NAMES["norm8"], *(_spread(row["fnir"], 3) for row in norm8)]
    return f"""## Too little data

The network is trained on few people and on many. {network_beats(rows, "norm8")} {network_beats(rows, "centred_norm8")}
{last_step(rows)}

![Misses by number of training people](images/worries-data.svg)

Misses (1 − TAR) relative to norm^8, at a false accept rate of 1e-3; the verdicts are at that rate, too. Centred norm^8
is centred on the people of its line.

{markdown_table((head, relative[0]))}

The same at 1e-4:

{markdown_table((head, relative[1]))}

FNIR at FPIR 1 %, half of the people unknown:

{markdown_table((head, [*_by_people(rows, lambda row: _spread(row["fnir"], 3)), rule]))}
"""


def _missed(far: str, row: Figures) -> str:
    return _spread(row["miss_relative_to_norm8"][far])


def _by_people(rows: list[Figures], take: Callable[[Figures], str]) -> list[list[str]]:
    lines = []
    for people, system in dict.fromkeys((row["people"], row["aggregator"]) for row in rows):
        mine = [row for row in rows if (row["people"], row["aggregator"]) == (people, system)]
        lines.append([f"{people:,}", NAMES[system], *(take(row) for row in mine)])
    return lines


def _photos(rows: list[Figures]) -> str:
    title = "### One photo or three\n\n"
    if not rows:
        return title + "Nobody tested has four images, so enrolment from three photos wasn't measured.\n"
    head = ["", "", "photos", "people", "1 − TAR at FAR 1e-3 / 1e-4", "FNIR at FPIR 1 %"]
    lines = [
        [cell_name(row), NAMES[row["aggregator"]], str(row["photos"]), str(row["people"]),
         f"{_spread(row['miss']['1e-3'], 3)} / {_spread(row['miss']['1e-4'], 3)}", _spread(row["fnir"], 3)]
        for row in rows
    ]  # fmt: skip
    told = [
        f"from {one['fnir']['mean']:.3f} to {three['fnir']['mean']:.3f} ({cell_name(one)})"
        for one, three in zip(rows[::2], rows[1::2], strict=True)
        if one["aggregator"] == MAIN
    ]
    return f"""{title}The same tracks of those who have four images or more, enrolled from one photo and from three, the
one among them. With three instead of one the network's FNIR goes {", ".join(told)}.

{markdown_table((head, lines))}
"""


def _compute(found: Figures) -> str:
    face = found["embedder_ms"]["median"]
    head = ["", "ms", "ms a face", "of an embedding"]
    lines = [
        [f"a step, {row['tracks']} track{'s' * (row['tracks'] > 1)}", f"{row['median']:.3f} ({row['least']:.3f})",
         f"{row['median'] / row['tracks']:.3f}", f"{row['median'] / row['tracks'] / face:.1%}"]
        for row in found["step_ms"]
    ]  # fmt: skip
    lines.append(["one face's embedding", f"{face:.2f} ({found['embedder_ms']['least']:.2f})", f"{face:.2f}", "100%"])
    one, many = found["step_ms"][0], found["step_ms"][-1]
    kilobytes = sum(found["bytes"].values()) / 1000
    return f"""## Too little compute

The network has {found["parameters"]:,} parameters; its two ONNX files take {kilobytes:.0f} kB. A track carries
{found["state_numbers"]:,} numbers from frame to frame, however long it lasts. For one track a step costs
{one["median"] / face:.1%} of what the face's embedding costs, for {many["tracks"]} at once
{many["median"] / many["tracks"] / face:.1%} each.

![CPU time of a step and of an embedding](images/worries-compute.svg)

CPU milliseconds on one thread of ONNX Runtime, taking turns in one process; median (least) of {found["rounds"]} turns.
The step is the whole recognize stage, which pads to whole tiles ([decision 3](decisions/0003-whole-tiles.md)).

{markdown_table((head, lines))}
"""


def _training(found: Figures) -> str:
    head = ["people", "CPU seconds", "MB before", "MB at most"]
    lines = [
        [f"{row['people']:,}", _spread(row["cpu_seconds"], 0), _spread(row["before_mb"], 0), _spread(row["peak_mb"], 0)]
        for row in found["training"]
    ]
    return f"""Training, {found["steps"]} steps on one thread; embedding the people isn't counted. Resident memory of a
process of its own, before training (torch and all embeddings are in it) and at most.

{markdown_table((head, lines))}
"""


def _followed(rows: list[Figures], people: int) -> str:
    head = ["", "set", "tracks", "Spearman", "Pearson"]
    lines = [
        [NAMES[row["aggregator"]], row["set"], f"{row['tracks']:,}", _within(row["spearman"]), _within(row["pearson"])]
        for row in rows
    ]
    return f"""## A model that nobody can explain

Of the network trained on {people:,} people, of a memoryless weight trained on the same, and of norm^8. Intervals are
95 %, by a bootstrap over people. A weight is what a frame counts for the track's first person when it is read.

### Do weights follow quality?

{each(rows, followed)}

![Correlation of weight and severity](images/worries-quality.svg)

Correlation of log-weight and the severity of the degradation applied, within each track of 16 frames; mean of tracks.

{markdown_table((head, lines))}
"""


def _mattered(rows: list[Figures]) -> str:
    head = ["", "set", "removed", "nothing", "least", "random", "most", "most − least", "most − random"]
    lines = [
        [NAMES[row["aggregator"]], row["set"], f"{row['removed']:.0%}", *(f"{row['miss'][k]:.3f}" for k in head[3:7]),
         _within(row["most_minus_least"], 3), _within(row["most_minus_random"], 3)]
        for row in rows
    ]  # fmt: skip
    return f"""### Are the frames that count the ones that matter?

{each(rows, mattered)}

![Misses without some frames](images/worries-removal.svg)

1 − TAR at a false accept rate of 1e-3, each with a threshold of its own, once a share of a track's 16 frames is taken
away (the least-weighted, random ones, the top-weighted) and the rest is read anew.

{markdown_table((head, lines))}
"""


def _intruded(rows: list[Figures]) -> str:
    lines = [[NAMES[row["aggregator"]], str(row["T"]), _within(row["share"], 3)] for row in rows]
    return f"""### Whose frames count on a track that jumps?

![Share of the weight on an intruder's frames](images/worries-intruders.svg)

The share of the whole weight that lies on another person's frames (C). The plain mean's is their share of the frames.
What the network keeps apart for the second person isn't counted.

{markdown_table((["", "T", "share of the weight"], lines))}
"""


def _spread(told: dict[str, float] | None, digits: int = 2) -> str:
    """Mean, and least to greatest where these differ."""
    if told is None:
        return "–"
    mean, least, greatest = (f"{told[name]:.{digits}f}" for name in ("mean", "least", "greatest"))
    return mean if least == greatest else f"{mean} ({least}–{greatest})"


def _within(told: dict[str, float], digits: int = 2) -> str:
    value, low, high = (f"{told[name]:.{digits}f}".replace("-", "−") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _wrapped(text: str) -> str:
    """The same with its prose in even lines."""
    blocks = [block.strip("\n") for block in text.split("\n\n") if block.strip()]
    return "\n\n".join(block if block[0] in "|#!" else _filled(block) for block in blocks) + "\n"


def _filled(prose: str) -> str:
    return textwrap.fill(" ".join(prose.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)
