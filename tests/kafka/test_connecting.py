"""What goes wrong on the way to a broker: one line with the cure, in bounded time, and no thread left behind."""

import threading
from pathlib import Path

import pytest

from tests.broker.secure import SecureBroker
from worker.errors import InvalidSettings, Retryable
from worker.settings import KafkaSettings
from worker.transport.clients import open_admin, open_consumer, open_producer

pytestmark = pytest.mark.usefixtures("abandoned")
OPENERS = [open_admin, open_consumer, open_producer]


def refusal(settings: KafkaSettings, opener=open_admin) -> str:
    """The one line that is said instead of a connection."""
    threads = threading.active_count()
    with pytest.raises(Retryable) as caught:
        opener(settings)
    assert threading.active_count() <= threads, "a thread of the client is left"
    text = str(caught.value)
    del caught
    assert "\n" not in text and "Traceback" not in text
    assert settings.bootstrap_servers in text
    return text


@pytest.mark.parametrize("opener", OPENERS, ids=lambda opener: opener.__name__)
def test_the_right_way_in(secure: SecureBroker, opener) -> None:
    """TLS by the authority, SCRAM by the password."""
    opener(secure.settings_of("worker")).close()


@pytest.mark.parametrize("opener", OPENERS, ids=lambda opener: opener.__name__)
def test_a_wrong_password(secure: SecureBroker, opener) -> None:
    """Every kind of client says so."""
    text = refusal(secure.settings_of("worker", sasl_password="secret-wrong"), opener)
    assert "check kafka.sasl_username, sasl_password" in text
    assert "secret-wrong" not in text


def test_an_unknown_user(secure: SecureBroker) -> None:
    """Told like a wrong password: brokers don't tell which it is."""
    assert "check kafka.sasl_username, sasl_password" in refusal(secure.settings_of("ghost"))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
def test_a_mechanism_that_the_broker_does_not_offer(secure: SecureBroker, mechanism: str) -> None:
    """The setting is named; whether the broker's answer comes before it hangs up is chance."""
    text = refusal(secure.settings_of("worker", sasl_mechanism=mechanism))
    assert "set kafka.sasl_mechanism to one it does" in text or "hung up while it checked the user" in text
    assert "sasl_mechanism" in text


def test_an_expired_certificate(secure: SecureBroker) -> None:
    """To be renewed on the brokers."""
    text = refusal(secure.settings_of("worker", bootstrap_servers=secure.at("EXPIRED")))
    assert "certificate has expired" in text and "renew it" in text


def test_an_unknown_authority(secure: SecureBroker) -> None:
    """The setting is named."""
    text = refusal(secure.settings_of("worker", ssl_cafile=secure.stranger))
    assert "set kafka.ssl_cafile to the authority that signed it" in text


def test_a_certificate_made_out_to_another_name(secure: SecureBroker) -> None:
    """And the check of names can be switched off, where somebody must."""
    elsewhere = {"bootstrap_servers": secure.at("MISNAMED")}
    assert "bootstrap by the name that it is made out to" in refusal(secure.settings_of("worker", **elsewhere))
    open_admin(secure.settings_of("worker", **elsewhere, ssl_check_hostname=False)).close()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
def test_the_wrong_protocol_on_a_tls_port_with_users(secure: SecureBroker, protocol: str) -> None:
    """No TLS, or no user: the broker just hangs up, and the setting that explains it is named."""
    text = refusal(secure.settings_of("worker", security_protocol=protocol))
    assert "check kafka.security_protocol and the port" in text


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_on_a_port_without(secure: SecureBroker, protocol: str) -> None:
    """The port doesn't speak it."""
    here = {"bootstrap_servers": secure.at("INTERNAL"), "security_protocol": protocol}
    assert "the port doesn't speak TLS" in refusal(secure.settings_of("worker", **here))


def test_a_user_on_a_port_without(secure: SecureBroker) -> None:
    """The port takes none."""
    here = {"bootstrap_servers": secure.at("INTERNAL"), "security_protocol": "SASL_PLAINTEXT"}
    assert "the port takes no user and password" in refusal(secure.settings_of("worker", **here))


@pytest.mark.parametrize("opener", OPENERS, ids=lambda opener: opener.__name__)
def test_an_unreachable_port(opener) -> None:
    """Nobody listens."""
    text = refusal(KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_seconds=1), opener)
    assert "no broker answers there" in text


def test_a_name_that_nobody_knows() -> None:
    """Names under .invalid never resolve."""
    text = refusal(KafkaSettings(bootstrap_servers="kafka.invalid:9092", request_timeout_seconds=1))
    assert "the name is unknown here" in text


@pytest.mark.parametrize("opener", OPENERS, ids=lambda opener: opener.__name__)
def test_a_broker_that_accepts_and_says_nothing(secure: SecureBroker, opener) -> None:
    """Frozen: the handshake never ends, and yet the caller is answered."""
    secure.suspend()
    try:
        assert "no broker answers there" in refusal(secure.settings_of("worker", request_timeout_seconds=1), opener)
    finally:
        secure.resume()


def test_a_bad_broker_beside_a_good_one(secure: SecureBroker) -> None:
    """One certificate that expired doesn't keep anybody from the other brokers."""
    both = f"{secure.at('EXPIRED')},{secure.bootstrap}"
    open_admin(secure.settings_of("worker", bootstrap_servers=both)).close()


def test_files_that_are_not_there(secure: SecureBroker, tmp_path: Path) -> None:
    """Found before anything is connected."""
    for setting in ("ssl_cafile", "sasl_password_file"):
        with pytest.raises(InvalidSettings, match="mount the secret"):
            open_admin(secure.settings_of("worker", **{setting: tmp_path / "missing"}))


def test_an_authority_that_is_no_pem(secure: SecureBroker, tmp_path: Path) -> None:
    """The settings that name files are named."""
    path = tmp_path / "authority.pem"
    path.write_text("not a certificate")
    assert "must be PEM files" in refusal(secure.settings_of("worker", ssl_cafile=path))
