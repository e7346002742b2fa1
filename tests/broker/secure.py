"""A broker as production has it: TLS, SCRAM users, and an authorizer that allows nothing that wasn't granted.

Its certificates are made for the run. Each bad one stands behind a listener of its own.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.broker.cluster import Broker
from worker.settings import KafkaSettings
from worker.transport.clients import open_admin
from worker.transport.rights import Right

MECHANISM = "SCRAM-SHA-512"
PASSWORD = "correct horse"
_DAY = timedelta(days=1)


class Authority:
    """Signs server certificates; PEM files in ``folder``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        own = self._builder(self._name, self._key, 365 * _DAY).add_extension(constraints, critical=True)
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(self, file: str, hosts: Iterable[str], valid_for: timedelta = 365 * _DAY) -> Path:
        """A PEM file with key and certificate, as a broker's keystore of type PEM; a negative time: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        certificate = (
            self._builder(subject, key, valid_for).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / file
        path.write_bytes(private + _pem(certificate))
        return path

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, valid_for: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * _DAY)
            .not_valid_after(now + valid_for)
        )


class SecureBroker(Broker):
    """Listeners: SASL_SSL (good), EXPIRED and MISNAMED (bad certificates), INTERNAL (itself and the administrator)."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "tls", "Faceline's test authority")
        self.authority = authority.certificate
        self.stranger = Authority(folder / "stranger", "Somebody else's authority").certificate
        stores = {
            "sasl_ssl": authority.issue("good.pem", ["localhost", "127.0.0.1"]),
            "expired": authority.issue("expired.pem", ["localhost", "127.0.0.1"], -_DAY),
            "misnamed": authority.issue("misnamed.pem", ["kafka.example.com"]),
        }
        properties = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # who come by INTERNAL and CONTROLLER
            "inter.broker.listener.name": "INTERNAL",
            "sasl.enabled.mechanisms": MECHANISM,
        }
        for name, store in stores.items():
            properties |= {
                f"listener.name.{name}.ssl.keystore.type": "PEM",
                f"listener.name.{name}.ssl.keystore.location": str(store),
                f"listener.name.{name}.{MECHANISM.lower()}.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
            }
        super().__init__(
            folder / "broker", extra=properties, protocol="SASL_SSL",
            further={"EXPIRED": "SASL_SSL", "MISNAMED": "SASL_SSL", "INTERNAL": "PLAINTEXT"},
        )  # fmt: skip

    def settings_of(self, user: str, **changes: object) -> KafkaSettings:
        """How ``user`` connects."""
        usual = {
            "sasl_mechanism": MECHANISM, "sasl_username": user, "sasl_password": PASSWORD,
            "ssl_cafile": self.authority, "request_timeout_seconds": 5,
        }  # fmt: skip
        return self.settings(**{**usual, **changes})

    def internal(self) -> KafkaSettings:
        """How the administrator connects, who may do everything."""
        return KafkaSettings(bootstrap_servers=self.at("INTERNAL"))

    def at(self, listener: str) -> str:
        """The address of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def grant(self, users: Mapping[str, Iterable[Right]]) -> None:
        """Make users, each with these rights and no others."""
        admin = open_admin(self.internal())
        try:
            made = admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, PASSWORD) for user in users]
            )
            assert not any(made.values()), made
            rules = [rule for user, rights in users.items() for right in rights for rule in _rules(user, right)]
            assert not rules or not admin.create_acls(rules)["failed"]
        finally:
            admin.close()


def _rules(user: str, right: Right) -> list[ACL]:
    kind = ResourceType[right.resource.upper().replace("-", "_")]
    form = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    pattern = ResourcePattern(kind, right.name, form)
    return [
        ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
        for operation in right.operations
    ]


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
