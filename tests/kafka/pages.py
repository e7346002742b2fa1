"""The tables of docs/kafka.md, made from the code. ``python -m tests.kafka.pages`` writes them into the page."""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

from worker.settings import PREFIX, KafkaSettings, Settings
from worker.transport.rights import ROLES, commands, rights
from worker.transport.topics import DAY_MS, HOUR_MS, specs

PAGE = Path(__file__).parents[2] / "docs" / "kafka.md"
_BLOCK = re.compile(r"(<!-- made: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)
_KEYS = {
    "frames": "camera id",
    "events": "camera id",
    "dead_letters": "as it came",
    "state": "camera id; empty: the partition",
    "gallery": "person id",
    "receipts": "none",
}
_MEANINGS = {  # of settings whose names speak for themselves to whoever knows Kafka
    "security_protocol": "TLS or not, a user or not",
    "sasl_mechanism": "how the user is checked",
    "sasl_username": "with a protocol that begins with SASL",
    "sasl_password": "better from a file",
    "ssl_keyfile": "PEM, with ssl_certfile",
    "ssl_key_password": "where the key is encrypted",
    "ssl_check_hostname": "off: any name in the broker's certificate will do; don't",
    "session_timeout_seconds": "a worker that is silent for so long is taken for dead",
    "max_poll_interval_seconds": "likewise one that is alive and takes so long for a batch",
    "request_timeout_seconds": "of each question to a broker, and of getting in",
}


def blocks() -> dict[str, str]:
    """Every table and list of commands, by name, as Markdown that ends in a line break."""
    settings = Settings()
    made = {"settings": _settings(), "topics": _topics(settings)}
    for role in ROLES:
        lines = commands(rights(role, settings), role, "kafka:9092")
        made[f"rights-{role}"] = "```sh\n" + "\n".join(lines) + "\n```\n"
    return made


def written(page: str) -> dict[str, str]:
    """The blocks as they stand in the page."""
    return {found["name"]: found["text"] for found in _BLOCK.finditer(page)}


def rewritten(page: str) -> str:
    """The page with every block made anew."""
    made = blocks()
    return _BLOCK.sub(lambda found: found[1] + made[found["name"]] + found[4], page)


def _settings() -> str:
    lines = ["| setting | default | what |", "|---|---|---|"]
    for name, field in KafkaSettings.model_fields.items():
        default = "" if field.default_factory is not None or field.default in (None, "") else f"`{field.default}`"
        what = field.description or _MEANINGS[name]
        lines.append(f"| `kafka.{name}` | {default} | {what}{_choices(field.annotation)} |")
    lines += ["", f"As environment variables: `{PREFIX}KAFKA__` and the name in capitals."]
    return "\n".join(lines) + "\n"


def _choices(annotation: object) -> str:
    """Of a setting that is one of a few words, or none of them."""
    parts = [annotation, *get_args(annotation)]
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    return f": {', '.join(words)}" if words else ""


def _topics(settings: Settings) -> str:
    lines = ["| topic | setting | key | partitions | cleanup | kept |", "|---|---|---|---|---|---|"]
    for spec in specs(settings):
        compacted = spec.config.get("cleanup.policy") == "compact"
        partitions = "as you choose" if spec.role == "frames" else str(spec.partitions or "as frames")
        kept = "newest of each key" if compacted else _span(int(spec.config["retention.ms"]))
        cleanup = "compact" if compacted else "delete"
        lines.append(
            f"| `{spec.name}` | `topics.{spec.role}` | {_KEYS[spec.role]} | {partitions} | {cleanup} | {kept} |"
        )
    return "\n".join(lines) + "\n"


def _span(milliseconds: int) -> str:
    unit, name = (DAY_MS, "day") if milliseconds >= DAY_MS else (HOUR_MS, "hour")
    number = milliseconds // unit
    return f"{number} {name}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
