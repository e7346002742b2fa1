"""The rows of operations that look at the workers: have they time and cores left, who owns what, what runs."""

from helm.dashboards.board import Row
from helm.dashboards.panels import ALARM, Column, Query, lines, number, rows, runbook
from helm.dashboards.promql import by_worker, grouped, or_zero, per_worker, quantile, rate, ratio, series, total

LAST_STEP = series("faceline_last_step_timestamp_seconds")

SATURATION = Row(
    "Saturation",
    [
        lines(
            "Time in stages",
            "suffix:s/s",
            "Seconds of work a second, per worker, stacked by stage. Near 1: the loop has no time left, add workers. "
            "What is left of 1 went into polls, commits and waiting.",
            Query(
                per_worker(total(rate("faceline_stage_seconds_sum"), "stage")),
                "{{stage}} · {{job}}",
            ),
            stacked=True,
        ),
        lines(
            "CPU time over wall time, by stage",
            "percentunit",
            "Far below 100 %: the cores are taken, raise the CPU limit. On a GPU detect, embed and recognize wait for "
            "it, which is meant.",
            Query(
                ratio(
                    total(rate("faceline_stage_cpu_seconds_total"), "stage"),
                    total(rate("faceline_stage_seconds_sum"), "stage"),
                ),
                "{{stage}} · {{job}}",
            ),
        ),
        lines(
            "CPU",
            "suffix:cores",
            "Of a worker's process. At its limit while lag rises: raise the limit or add workers.",
            Query(by_worker(rate("process_cpu_seconds_total")), "{{worker}}"),
            width=8,
        ),
        lines(
            "Memory",
            "bytes",
            "Resident. Flat is well; near the container's limit: raise it, the kernel kills what goes beyond.",
            Query(by_worker(series("process_resident_memory_bytes")), "{{worker}}"),
            width=8,
        ),
        lines(
            "In flight",
            "suffix:records",
            "Polled and not yet committed or given up. Standing still above 0: the loop hangs, see /livez.",
            Query(by_worker(series("faceline_in_flight_records")), "{{worker}}"),
            width=8,
        ),
        lines(
            "Time lost waiting",
            "percentunit",
            "Share of time in which a worker couldn't work. For minutes: the brokers are away or refuse; /readyz and "
            "the log say why.",
            Query(by_worker(rate("faceline_waiting_seconds_total")), "{{worker}}"),
            most=1,
            links=[runbook("FacelineCannotWork")],
        ),
        lines(
            "Since the loop last turned",
            "s",
            "As of the scrape. Above service.stall_seconds the process ends itself; tens of seconds: batches take too "
            "long, lower service.batch_frames. A worker that has just begun isn't here yet.",
            Query(by_worker(f"clamp_min(timestamp({LAST_STEP}) - ({LAST_STEP} > 0), 0)"), "{{worker}}"),
        ),
    ],
)

PARTITIONS = Row(
    "Partitions and state",
    [
        lines(
            "Partitions by worker",
            "suffix:partitions",
            "Who owns how many. Their sum is what the topic has, or a worker is missing. 0 for long: it is spare.",
            Query(by_worker(series("faceline_partitions_assigned")), "{{worker}}"),
            width=8,
            stacked=True,
        ),
        lines(
            "Rebalances and restores",
            "suffix:/min",
            "Changes of who owns what, and partitions whose state was read back after them or after an abort. Many "
            "without a roll-out: workers die or poll too late, look for restarts.",
            Query(f"60 * {total(rate('faceline_rebalances_total'))}", "rebalances · {{job}}"),
            Query(f"60 * {total(rate('faceline_restores_total'))}", "restores · {{job}}"),
            width=8,
            links=[runbook("FacelineRestarts")],
        ),
        lines(
            "Partitions that wait to be restored",
            "suffix:partitions",
            "Owned, and their state can't be read yet. Above 0 for long: see 'A partition that can't be restored' in "
            "docs/kafka.md.",
            Query(by_worker(series("faceline_partitions_waiting")), "{{worker}}"),
            width=8,
        ),
        lines(
            "Time to restore a partition",
            "s",
            "Over the last half hour. Seconds: the state topic isn't compacted often enough, run 'faceline topics "
            "check'.",
            Query(quantile(0.5, "faceline_restore_seconds", window="30m"), "p50 · {{job}}"),
            Query(quantile(0.95, "faceline_restore_seconds", window="30m"), "p95 · {{job}}"),
            links=[runbook("FacelineRestoreSlow")],
        ),
        lines(
            "Size of snapshots, p95",
            "bytes",
            "camera: one camera's open tracks; partition: the partition's own record. Large: many open tracks on one "
            "camera.",
            Query(quantile(0.95, "faceline_snapshot_bytes", "kind"), "{{kind}} · {{job}}"),
        ),
    ],
)

VERSIONS = Row(
    "What runs",
    [
        rows(
            "Workers by version",
            "One line a worker. Two versions outside a roll-out: it is stuck. at_least_once: subscribers must drop "
            "duplicates by event id. Up for less than the others: it was restarted, its log says why.",
            [
                Column("worker", "Worker"),
                Column("version", "Version"),
                Column("python", "Python"),
                Column("mode", "Delivery"),
                Column("Value #B", "Up for", "s"),
                Column("Value #C", "Partitions"),
                Column("Value #D", "Memory", "bytes"),
                Column("job", "Deployment"),
            ],
            by_worker(
                f"{series('faceline_build_info')} * on (namespace, job, pod, instance) group_left (mode) "
                f"{series('faceline_delivery_info')}",
                "version",
                "python",
                "mode",
            ),
            by_worker(f"time() - {series('process_start_time_seconds')}"),
            by_worker(series("faceline_partitions_assigned")),
            by_worker(series("process_resident_memory_bytes")),
            sort=("Worker", False),
            links=[runbook("FacelineRestarts")],
        ),
        rows(
            "Models and what computes them",
            "By the first digits of the model's digest. Two digests, engines or precisions of one model outside a "
            "roll-out: workers disagree on what a face is.",
            [
                Column("model", "Model"),
                Column("digest", "Digest"),
                Column("engine", "Engine"),
                Column("precision", "Precision"),
                Column("Value", "Workers"),
                Column("job", "Deployment"),
            ],
            grouped("count", series("faceline_model_info"), "model", "digest", "engine", "precision"),
            sort=("Model", False),
            links=[runbook("FacelineModelsDiffer")],
        ),
        number(
            "Engines loaded at start",
            "none",
            "hit: found compiled; built: compiled here, the log has the reason. 0 of both: ONNX Runtime compiles "
            "nothing. built at every start: engine.cache_dir isn't kept, or run 'faceline compile' beforehand.",
            Query(total(series("faceline_engine_cache_total"), "result"), "{{result}}"),
            width=12,
        ),
        number(
            "Workers that refuse to serve",
            "none",
            "Their engine doesn't compute what the reference does. Any: run 'faceline compile --force', see 'faceline "
            "compare'.",
            Query(or_zero(grouped("count", series("faceline_engine_parity_failed"))), "{{job}}"),
            width=12,
            limits={1: ALARM},
            links=[runbook("FacelineEngineParityFailed")],
        ),
    ],
)
