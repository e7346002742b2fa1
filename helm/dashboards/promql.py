"""PromQL by parts. Every selector is bound to the deployment and the workers that the dashboard's variables name.

A deployment is ``namespace`` and ``job``, a worker is ``pod`` and ``instance``. A Prometheus that finds workers by
address alone sets neither namespace nor pod: a matcher ``=~".*"`` holds for a label that isn't there, and grouping by
one changes nothing.
"""

OF_DEPLOYMENT = 'namespace=~"$namespace", job=~"$job"'
CHOSEN = f'{OF_DEPLOYMENT}, pod=~"$pod", instance=~"$instance"'
DEPLOYMENT = ("namespace", "job")
WORKER = (*DEPLOYMENT, "pod", "instance")
WINDOW = "$__rate_interval"
RANGE = "$__range"
SLOW = "30m"
"""For shares of what is rare: people come and go more slowly than Prometheus scrapes."""


def series(name: str, matchers: str = "") -> str:
    """A selector of the chosen workers; further ``matchers`` as PromQL writes them."""
    return f"{name}{{{', '.join(filter(None, (CHOSEN, matchers)))}}}"


def rate(name: str, matchers: str = "", window: str = WINDOW) -> str:
    """A counter's growth per second."""
    return f"rate({series(name, matchers)}[{window}])"


def increase(name: str, matchers: str = "", window: str = RANGE) -> str:
    """A counter's growth over a window."""
    return f"increase({series(name, matchers)}[{window}])"


def whole(expression: str) -> str:
    """A count over a window as people count: Prometheus extrapolates to the window's edges."""
    return f"round({expression})"


def grouped(function: str, expression: str, *labels: str) -> str:
    """An aggregation that keeps deployments apart, and ``labels``."""
    return f"{function} by ({', '.join((*DEPLOYMENT, *labels))}) ({expression})"


def total(expression: str, *labels: str) -> str:
    """The sum over a deployment, by ``labels``."""
    return grouped("sum", expression, *labels)


def by_worker(expression: str, *labels: str) -> str:
    """The sum by worker, which gets a label ``worker``: its pod's name where it has one, else its address."""
    summed = total(expression, "pod", "instance", *labels)
    addressed = f'label_replace({summed}, "worker", "$1", "instance", "(.*)")'
    return f'label_replace({addressed}, "worker", "$1", "pod", "(.+)")'


def quantile(share: float, histogram: str, *labels: str, window: str = WINDOW) -> str:
    """A quantile over a deployment; nothing where nothing was observed, rather than NaN."""
    buckets = total(rate(f"{histogram}_bucket", window=window), *labels, "le")
    return f"histogram_quantile({share}, {buckets}) >= 0"


def mean(histogram: str, *labels: str) -> str:
    """The mean of what was observed."""
    return ratio(total(rate(f"{histogram}_sum"), *labels), total(rate(f"{histogram}_count"), *labels))


def ratio(part: str, whole: str) -> str:
    """A quotient; nothing where the whole is 0."""
    return f"{part} / ({whole} > 0)"


def or_zero(expression: str, label: str | None = None) -> str:
    """0 for a deployment that has workers and no such series, since nothing of the kind has happened.

    Where series differ by ``label``, that zero has ``none`` there.
    """
    zero = f"0 * {WORKERS}"
    if label:
        zero = f'label_replace({zero}, "{label}", "none", "", "")'
    return f"({expression} or on (namespace, job) {zero})"


def per_worker(expression: str) -> str:
    """A sum over a deployment, divided by how many workers it has."""
    return f"{expression} / on (namespace, job) group_left () {WORKERS}"


WORKERS = grouped("count", series("faceline_build_info"))
"""How many, by deployment."""
