"""Dockerfile, .dockerignore and docker-compose.yml say what they must, as far as reading them can tell."""

import re
from typing import Any

import pytest

from app.settings import Settings
from tests.container_files import (
    CHECKOUT,
    allowed_names,
    compose,
    compose_text,
    compose_variables,
    dockerfile,
    health_command,
    image_environment,
)

SECRETS = {"POSTGRES_PASSWORD": "p" * 64, "DARKROOM_SECRET": "s" * 64}
COMPOSE = compose(SECRETS)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

each_service = pytest.mark.parametrize("name", SERVICES)
SETTINGS = {f"DARKROOM_{name.upper()}" for name in Settings.model_fields}
#: Settings that the containers do without.
LEFT_OUT = {
    "DARKROOM_CDN_PRIVATE_KEY_FILE",  # no file of the host is mounted: the key itself goes in, on one line
}
ROOMS = {"app", "db", "pipeline", "pubsub", "resolvers", "schema", "services", "storage"}

ONE_SHOTS = {
    name
    for service in SERVICES.values()
    for name, wait in service.get("depends_on", {}).items()
    if wait["condition"] == "service_completed_successfully"
}


def is_pinned(image: str) -> bool:
    """A tag with a version in it; not `latest`, not none."""
    return re.fullmatch(r"[a-z0-9./-]+:(?:[0-9][a-z0-9.-]*|local)", image) is not None


@each_service
def test_a_service_runs_without_rights_on_a_root_that_it_cannot_write(name: str) -> None:
    service = SERVICES[name]
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@each_service
def test_a_service_is_watched_or_its_end_is_waited_for(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name in ONE_SHOTS:
        assert check == {"disable": True}
        assert SERVICES[name]["restart"] == "no"
    else:
        assert check["test"][0] == "CMD"  # no shell in between
        assert SERVICES[name]["restart"] == "unless-stopped"


@each_service
def test_whoever_depends_waits_for_what_it_needs(name: str) -> None:
    for needed, wait in SERVICES[name].get("depends_on", {}).items():
        condition = "service_completed_successfully" if needed in ONE_SHOTS else "service_healthy"
        assert wait == {"condition": condition}


@each_service
def test_images_are_pinned_and_volumes_have_names(name: str) -> None:
    assert is_pinned(SERVICES[name]["image"])
    for volume in SERVICES[name].get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]


@pytest.mark.parametrize("image", ["postgres", "postgres:latest", "python:slim"])
def test_the_guard_sees_an_image_that_is_not_pinned(image: str) -> None:
    assert not is_pinned(image)


def test_the_services_are_those_that_were_promised() -> None:
    assert set(SERVICES) == {"app", "migrate", "postgres", "valkey"}
    assert set(SERVICES["app"]["depends_on"]) == {"postgres", "migrate"}
    assert SERVICES["postgres"]["image"] == "postgres:18"
    # From 18 on, a volume at the old place (/var/lib/postgresql/data) makes the image refuse to start.
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_only_the_app_is_published_and_on_loopback_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"app": ["127.0.0.1:8000:8000"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert [name for name in SERVICES if "edge" in SERVICES[name]["networks"]] == ["app"]


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_compose_says_how_to_make_one(missing: str) -> None:
    given = {name: value for name, value in SECRETS.items() if name != missing}
    with pytest.raises(LookupError, match=rf"{missing}: run tools/compose-env once"):
        compose(given)


def test_no_secret_stands_in_the_file() -> None:
    for line in compose_text().splitlines():
        for name, value in re.findall(r"(\w*(?:PASSWORD|SECRET|TOKEN|KEY)\w*): +(\S.*)", line):
            # Asked for, or none at all.
            assert value.startswith(f"${{{name}:?") or value == f"${{{name}:-}}", line
        assert not re.search(r"://[^:/]+:(?!\$\{)[^@]+@", line), line


def test_every_variable_is_explained() -> None:
    explained = re.findall(r"^#([A-Z0-9_]+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE)
    assert compose_variables() <= set(explained)
    assert compose_variables() - SETTINGS == {"POSTGRES_PASSWORD"}


def test_every_setting_of_the_containers_is_one_of_darkrooms() -> None:
    named = {
        name
        for environment in (image_environment(), *(each.get("environment", {}) for each in SERVICES.values()))
        for name in environment
        if name.startswith("DARKROOM_")
    }
    assert named <= SETTINGS
    assert {"DARKROOM_DATABASE_URL", "DARKROOM_SECRET"} <= named


def test_every_setting_reaches_the_app_or_is_left_out_on_purpose() -> None:
    assert SETTINGS - set(SERVICES["app"]["environment"]) == LEFT_OUT


def test_what_counts_for_both_is_listed_in_the_example_and_passed_on() -> None:
    _, _, section = (CHECKOUT / ".env.example").read_text().partition("# ---- docker-compose.yml only ----")
    before, _, _ = section.partition(" count for both.")
    assert set(re.findall(r"DARKROOM_[A-Z0-9_]+", before)) == compose_variables() - {"POSTGRES_PASSWORD"}


@pytest.mark.parametrize(
    "name", sorted(compose_variables() - {"POSTGRES_PASSWORD", "DARKROOM_SECRET", "DARKROOM_PORT"})
)
def test_what_env_says_is_what_every_process_is_told(name: str) -> None:
    for value in ("1", ""):
        services = compose({**SECRETS, name: value})["services"]
        for process in ("app", "migrate"):
            told = services[process]["environment"][name]
            assert told == value or (name == "DARKROOM_PUBLIC_URL" and value == "")


def test_every_process_of_the_installation_has_the_same_settings() -> None:
    app, migrate = SERVICES["app"]["environment"], SERVICES["migrate"]["environment"]
    assert migrate.items() <= app.items()
    assert set(app) - set(migrate) == {"DARKROOM_HOST", "DARKROOM_PORT", "DARKROOM_ALLOW_ANONYMOUS"}


def test_the_app_is_given_longer_to_stop_than_it_takes() -> None:
    from app.serve import STOP_SECONDS

    assert int(SERVICES["app"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS


def test_compose_asks_after_health_as_the_image_does() -> None:
    command, *words = SERVICES["app"]["healthcheck"]["test"]
    assert command == "CMD"
    assert [re.sub(r"\s+", " ", word) for word in words] == health_command()


def test_every_stage_begins_with_the_same_pinned_slim_python() -> None:
    bases = [stage[0].arguments.split()[0] for stage in dockerfile()]
    [base] = set(bases)
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)


def test_the_packages_are_those_of_the_lock_and_what_installs_them_stays_behind() -> None:
    packages, image = dockerfile()
    [install] = [each.words for each in packages if each.name == "RUN" and "install" in each.words]
    assert "--require-hashes" in install
    assert install[-2:] == ["--requirement", "/build/requirements.lock"]
    assert not any(word.startswith(("--index", "--extra-index", "--find")) for word in install)
    [environment] = [each.words for each in packages if each.name == "RUN" and "venv" in each.words]
    assert "--without-pip" in environment
    run = [word for each in image if each.name == "RUN" for word in each.words]
    assert not {"pip", "apt-get", "gcc"} & set(run)
    [copied] = [each.arguments for each in image if each.arguments.startswith("--from=")]
    assert copied == "--from=packages /opt/venv /opt/venv"


def test_the_image_runs_the_service_as_nobody_special() -> None:
    image = dockerfile()[-1]
    last = {each.name: each.arguments for each in image}
    assert last["USER"] == "10001:10001"
    assert [each.words for each in image if each.name in ("ENTRYPOINT", "CMD")] == [
        ["python", "-m", "app"],
        ["serve"],
    ]
    assert all(each.words for each in image if each.name == "RUN")  # exec form: no shell reads them
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["WORKDIR"] == "/opt/darkroom"
    assert SERVICES["app"]["user"] == last["USER"]
    assert image_environment()["DARKROOM_DATA_DIR"] == "/data"
    assert "data:/data" in SERVICES["app"]["volumes"]


def test_only_what_the_service_needs_goes_into_the_image() -> None:
    assert allowed_names() == ROOMS | {"pyproject.toml", "requirements.lock", "web/graphiql/dist"}
