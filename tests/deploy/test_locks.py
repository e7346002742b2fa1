"""What images install is what pyproject.toml asks for and tests ran with: no less, no more, each by its hash."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
EXTRAS = {"serve": ("tracing",), "gpu": ("tracing", "cuda")}
NEVER = re.compile(r"torch|tensorrt|opencv-python$|opencv-contrib|scipy|matplotlib|nvidia-")
both = pytest.mark.parametrize("lock", EXTRAS)


def pins(name: str) -> dict[str, set[str]]:
    """Versions by package; a universal lock may hold several of one."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE
    ):
        found.setdefault(package, set()).add(version)
    return found


def wanted(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for e in EXTRAS[lock] for line in project["optional-dependencies"][e])]
    return [Requirement(line) for line in lines]


def applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether it counts on Linux where these extras were asked for."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**LINUX, "extra": extra}) for extra in extras or {""})


def closure(requirements: list[Requirement]) -> dict[str, list[Requirement]]:
    """Who is needed, as the installed packages' own metadata say, and every requirement upon each."""
    needed: dict[str, list[Requirement]] = {}
    todo, seen = [(requirement, frozenset({""})) for requirement in requirements], set()
    while todo:
        requirement, extras = todo.pop()
        if not applies(requirement, extras) or (str(requirement), extras) in seen:
            continue
        seen.add((str(requirement), extras))
        name = canonicalize_name(requirement.name)
        needed.setdefault(name, []).append(requirement)
        its_extras = frozenset({"", *requirement.extras})
        todo += [(Requirement(line), its_extras) for line in metadata.requires(name) or []]
    return needed


@both
def test_no_more_and_no_less(lock: str) -> None:
    """The lock holds exactly who is needed, in versions that everybody who needs them accepts."""
    found = {name: next(iter(versions)) for name, versions in pins(lock).items()}
    needed = closure(wanted(lock))
    assert set(found) == set(needed), "run 'make lock'"
    for name, requirements in needed.items():
        for requirement in requirements:
            assert requirement.specifier.contains(found[name], prereleases=True), f"{requirement}: {found[name]}"


@both
def test_what_is_served_was_tested(lock: str) -> None:
    """Every version is one that the development lock has."""
    tested = pins("dev")
    for name, versions in pins(lock).items():
        assert len(versions) == 1
        assert versions <= tested[name], f"{name}: run 'make lock'"


def test_both_images_hold_the_same() -> None:
    """But for CUDA's bindings."""
    serve, gpu = pins("serve"), pins("gpu")
    assert serve.items() <= gpu.items()
    assert all(name.startswith("cuda-") for name in gpu.keys() - serve.keys())
    assert "cuda-bindings" in gpu


@both
def test_what_must_not_be_served(lock: str) -> None:
    """No torch, no GUI, and TensorRT only as the base image has it."""
    assert NEVER.match("torch") and NEVER.match("tensorrt-cu13-libs")
    assert [name for name in pins(lock) if NEVER.match(name)] == []


@pytest.mark.parametrize("lock", [*EXTRAS, "build"])
def test_every_pin_has_its_hashes(lock: str) -> None:
    """Or pip refuses the whole lock; and no address is in it, since the index is whoever builds' own."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in text


def test_the_builder_is_the_projects() -> None:
    """The image's wheel is made by the backend that pyproject.toml names."""
    lines = (ROOT / "requirements" / "build.in").read_text().splitlines()
    asked = [line for line in lines if line and not line.startswith("#")]
    assert asked == PROJECT["build-system"]["requires"]
    (requirement,) = map(Requirement, asked)
    (version,) = pins("build")[requirement.name]
    assert requirement.specifier.contains(version)


def test_make_lock_makes_them_all() -> None:
    """No lock that nobody renews."""
    made = re.findall(r"-o requirements/(\w+)\.lock", (ROOT / "Makefile").read_text())
    by_hand = {"helm"}  # one wheel with its digest, see the file
    assert {path.stem for path in (ROOT / "requirements").glob("*.lock")} == {*made, *by_hand}
