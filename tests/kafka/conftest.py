"""A broker with TLS, users and least rights, and one application on it; users are made once, rights are never changed.

Users: one for each role, ``nobody``, and for each right of a worker one who has all the others.
"""

from collections.abc import Iterator

import pytest

from tests.broker.cluster import NoBroker
from tests.broker.secure import SecureBroker
from tests.broker.sockets import abandoned_sockets
from tests.required import missing
from worker.settings import ServiceSettings, Settings, TopicSettings
from worker.transport.rights import ROLES, Right, rights
from worker.transport.topics import create

APPLICATION = Settings(
    service=ServiceSettings(application_id="least"), topics=TopicSettings(frames="least.camera.frames")
)
WORKER = rights("worker", APPLICATION)
SINGLE = [
    Right(right.resource, right.name, (operation,), right.prefixed)
    for right in WORKER
    for operation in right.operations
]


def user_without(right: Right) -> str:
    """Who has every right of a worker but this one."""
    return f"without-{SINGLE.index(right)}"


@pytest.fixture
def abandoned() -> Iterator[None]:
    """For tests in which connections fail."""
    with abandoned_sockets():
        yield


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """The broker, with topics and users."""
    broker = SecureBroker(tmp_path_factory.mktemp("secure"))
    try:
        broker.start()
    except NoBroker as reason:
        missing("kafka", f"no Kafka: {reason}")
    try:
        create(APPLICATION.model_copy(update={"kafka": broker.internal()}), partitions=2)
        users = {role: rights(role, APPLICATION, group="greeter") for role in ROLES}
        users |= {user_without(right): [other for other in SINGLE if other != right] for right in SINGLE}
        broker.grant({**users, "nobody": ()})
        yield broker
    finally:
        broker.stop()


def as_user(broker: SecureBroker, user: str, **changes: object) -> Settings:
    """The application's settings, connecting as ``user``."""
    return APPLICATION.model_copy(update={"kafka": broker.settings_of(user, **changes)})
