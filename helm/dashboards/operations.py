"""Operations: does it keep up, within its budget, without losses; and if it doesn't, what to look at."""

from helm.dashboards.board import Board, Row
from helm.dashboards.panels import ALARM, WARNING, Query, drill_down, lines, number, runbook
from helm.dashboards.promql import (
    OF_DEPLOYMENT,
    by_worker,
    grouped,
    mean,
    or_zero,
    quantile,
    rate,
    ratio,
    series,
    total,
)
from helm.dashboards.workers import PARTITIONS, SATURATION, VERSIONS

FRAMES = "faceline_frames_total"
REASON = "{{reason}} · {{job}}"
LATENCY = "faceline_capture_to_publish_seconds"
REFUSED = 'outcome!~"processed|late|covered|shed"'
BUDGET = grouped("min", f"{series('faceline_latency_budget_seconds')} > 0")
LAG = grouped("max", series("faceline_consumer_lag_records"), "partition")
# A worker that goes forgets its partitions one scrape after another has them, hence the maximum before the sum.
LAG_TOTAL = f"sum by (namespace, job) ({LAG})"

NOW = Row(
    "Now",
    [
        number(
            "Workers",
            "none",
            "up: scraped; working: neither waiting for a broker nor draining; spare: without a partition. Up but not "
            "working: GET /readyz says why. Spare for long: more workers than partitions.",
            Query(total(series("up")), "up"),
            Query(total(f"1 - {series('faceline_waiting')}"), "working"),
            Query(or_zero(grouped("count", f"{series('faceline_partitions_assigned')} == 0")), "spare"),
            width=6,
            links=[runbook("FacelineCannotWork")],
        ),
        number(
            "Frames",
            "suffix:frames/s",
            "Frames that came through, whatever became of them. 0: nothing is published, or nobody works.",
            Query(total(rate(FRAMES)), "{{job}}"),
            links=[drill_down("cameras")],
        ),
        number(
            "Lag in seconds of work",
            "s",
            "What waits to be read, at the rate of now. Rising: add workers up to the number of partitions, or set "
            "service.freshness_seconds.",
            Query(ratio(LAG_TOTAL, total(rate(FRAMES))), "{{job}}"),
            limits={2: WARNING, 10: ALARM},
            empty="no frames",
            links=[runbook("FacelineFramesFallBehind")],
        ),
        number(
            "Latency budget used",
            "percentunit",
            "From capture to publication at the 95th percentile, as a share of service.latency_budget_seconds. Above "
            "100 %: is lag high too? Then it is load, else a camera's clock.",
            Query(f"({quantile(0.95, LATENCY)}) / {BUDGET}", "{{job}}"),
            limits={0.8: WARNING, 1: ALARM},
            empty="no events",
            links=[runbook("FacelineLatencyBudgetBroken")],
        ),
        number(
            "Frames refused",
            "percentunit",
            "Share of frames that can't be processed, now. Any: read them with 'faceline dlq list', mend the camera.",
            Query(ratio(or_zero(total(rate(FRAMES, REFUSED))), total(rate(FRAMES))), "{{job}}"),
            width=3,
            limits={0.0001: WARNING, 0.01: ALARM},
            empty="no frames",
            links=[runbook("FacelineFramesFail")],
        ),
        number(
            "Alerts",
            "none",
            "Faceline's alerts that fire for this deployment, as Prometheus has them. 0 as well where the rules aren't "
            "loaded.",
            Query(
                or_zero(grouped("count", f'ALERTS{{alertname=~"Faceline.+", alertstate="firing", {OF_DEPLOYMENT}}}')),
                "{{job}}",
            ),
            width=3,
            limits={1: ALARM},
        ),
    ],
)

THROUGHPUT = Row(
    "Throughput and lag",
    [
        lines(
            "Frames by outcome",
            "suffix:frames/s",
            "Other than processed, late and covered (seen before a crash), an outcome is why a frame was refused or "
            "shed: look at the dead letters, or at what was shed.",
            Query(or_zero(f"{total(rate(FRAMES), 'outcome')} > 0", "outcome"), "{{outcome}} · {{job}}"),
            stacked=True,
        ),
        lines(
            "Frames by worker",
            "suffix:frames/s",
            "Who does the work. Uneven for long: partitions are, see who has how many; one at 0 beside others: look at "
            "its log.",
            Query(by_worker(rate(FRAMES)), "{{worker}}"),
            stacked=True,
        ),
        lines(
            "Lag",
            "suffix:records",
            "Records that wait to be read. All partitions rise: add workers. One rises: its cameras send more than one "
            "worker can do, give them other ids or fewer frames.",
            Query(LAG_TOTAL, "total · {{job}}"),
            Query(LAG, "partition {{partition}} · {{job}}"),
            links=[runbook("FacelineFramesFallBehind")],
        ),
        lines(
            "Records of a batch",
            "suffix:records",
            "Always service.batch_frames: the worker is behind. Always 1: it waits for frames, and is fine.",
            Query(mean("faceline_batch_records"), "mean · {{job}}"),
            Query(quantile(0.95, "faceline_batch_records"), "p95 · {{job}}"),
        ),
    ],
)

LATENCIES = Row(
    "Latency",
    [
        lines(
            "Capture to publication",
            "s",
            "From a frame's capture to its event, against service.latency_budget_seconds (dashed). High while lag is "
            "low: set that camera's clock. High with lag: add workers, or shed. A short peak without lag: a camera "
            "fell silent, and its tracks departed with the time of their last frame.",
            Query(quantile(0.5, LATENCY), "p50 · {{job}}"),
            Query(quantile(0.95, LATENCY), "p95 · {{job}}"),
            Query(quantile(0.99, LATENCY), "p99 · {{job}}"),
            Query(BUDGET, "budget · {{job}}", dashed=True),
            links=[runbook("FacelineLatencyBudgetBroken")],
        ),
        lines(
            "Latency by stage, p95",
            "s",
            "Wall time of one call: decode and track take one frame, detect those of one size, the others a round of "
            "one frame a camera. The stage that grew is where to look.",
            Query(quantile(0.95, "faceline_stage_seconds", "stage"), "{{stage}} · {{job}}"),
        ),
        lines(
            "Batch: processing and commit",
            "s",
            "Processing: about service.commit_interval_seconds is meant; far above: lower service.batch_frames or add "
            "cores. Commit: high: look at the brokers' request times, or commit less often.",
            Query(quantile(0.5, "faceline_process_seconds"), "process p50 · {{job}}"),
            Query(quantile(0.95, "faceline_process_seconds"), "process p95 · {{job}}"),
            Query(quantile(0.5, "faceline_commit_seconds"), "commit p50 · {{job}}"),
            Query(quantile(0.95, "faceline_commit_seconds"), "commit p95 · {{job}}"),
        ),
        lines(
            "Commits",
            "suffix:commits/s",
            "Batches committed. 0 while lag grows: the worker waits, its log and /readyz say for what.",
            Query(by_worker(rate("faceline_commits_total")), "{{worker}}"),
        ),
    ],
)

ERRORS = Row(
    "Errors",
    [
        lines(
            "Dead letters by reason",
            "suffix:records/s",
            "Records that can never be processed. Any: read them with 'faceline dlq list', mend the camera.",
            Query(or_zero(f"{total(rate('faceline_dead_letters_total'), 'reason')} > 0", "reason"), REASON),
            width=8,
            links=[runbook("FacelineDeadLetters")],
        ),
        lines(
            "Batches given up, by reason",
            "suffix:batches/s",
            "And done again. fenced: another worker took over, usual in a rebalance; error: look at the log and the "
            "brokers.",
            Query(total(rate("faceline_transactions_aborted_total"), "reason"), REASON),
            width=8,
            links=[runbook("FacelineTransactionsAbort")],
        ),
        lines(
            "Shed",
            "suffix:items/s",
            "Work left out to stay fresh: frames, or embeddings of faces. Lasting: add workers, or send fewer frames.",
            Query(total(rate("faceline_shed_total"), "what"), "{{what}} · {{job}}"),
            width=8,
        ),
    ],
)

BOARD = Board(
    "operations",
    "Faceline / Operations",
    "Is it keeping up, within its latency budget, without losses? Where does it stand if not?",
    [NOW, THROUGHPUT, LATENCIES, SATURATION, ERRORS, PARTITIONS, VERSIONS],
)
