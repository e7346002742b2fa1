"""What each kind of user must be allowed to do on the cluster, and no more.

One table: ``faceline topics rights`` prints it as commands, ``faceline doctor`` looks whether it was granted,
docs/kafka.md shows it, and the tests grant it on a real broker. READ and WRITE include DESCRIBE.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import join
from typing import Literal, TypeAlias, get_args

from worker.settings import Settings

Role: TypeAlias = Literal["worker", "camera", "subscriber", "operator", "administrator"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Right:
    """Operations on one resource; ``prefixed``: on all whose names begin so."""

    resource: Literal["topic", "group", "transactional-id"]
    name: str
    operations: tuple[str, ...]  # as Kafka spells them in answers: READ, DESCRIBE_CONFIGS
    prefixed: bool = False

    def __str__(self) -> str:
        return f"{' and '.join(self.operations)} on {self.resource} {self.name}{'*' if self.prefixed else ''}"


def rights(role: Role, settings: Settings, group: str = "my-subscriber") -> tuple[Right, ...]:
    """What ``role`` needs under these settings; ``group`` is a subscriber's own consumer group."""
    topics, application = settings.topics, settings.service.application_id
    table: dict[Role, tuple[Right, ...]] = {
        "worker": (
            Right("topic", topics.frames, ("READ",)),
            Right("topic", topics.events, ("WRITE",)),
            Right("topic", topics.dead_letters, ("WRITE",)),
            Right("topic", topics.state, ("READ", "WRITE")),
            Right("topic", topics.gallery, ("READ",)),
            Right("topic", topics.receipts, ("WRITE",)),
            Right("group", application, ("READ",)),
            Right("transactional-id", f"{application}-", ("WRITE",), prefixed=True),
        ),
        "camera": (Right("topic", topics.frames, ("WRITE",)),),
        "subscriber": (
            Right("topic", topics.events, ("READ",)),
            Right("group", group, ("READ",)),
        ),
        "operator": (
            Right("topic", topics.gallery, ("READ", "WRITE")),
            Right("topic", topics.receipts, ("READ", "WRITE")),
            Right("group", application, ("DESCRIBE",)),
            Right("topic", topics.events, ("READ",)),
            Right("topic", topics.dead_letters, ("READ",)),
        ),
        "administrator": tuple(
            Right("topic", name, ("CREATE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS"))
            for name in topics.model_dump().values()
        ),
    }
    return table[role]


def commands(granted: Sequence[Right], user: str, bootstrap: str) -> list[str]:
    """One ``kafka-acls.sh`` command a right."""
    return [join(_words(right, user, bootstrap)) for right in granted]


def _words(right: Right, user: str, bootstrap: str) -> list[str]:
    words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "admin.properties", "--add"]
    words += ["--allow-principal", f"User:{user}"]
    for operation in right.operations:
        words += ["--operation", operation.title().replace("_", "")]
    words += [f"--{right.resource}", right.name]
    return words + (["--resource-pattern-type", "prefixed"] if right.prefixed else [])
