"""The configuration: read from the environment, refused whole, shown without secrets."""

from __future__ import annotations

import os

import pytest

from registrar_server.addresses import hide_password
from registrar_server.config import Config, ConfigError, load_config
from registrar_server.variables import KNOWN_VARIABLES


def problems(environment: dict[str, str], **overrides: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(environment, **overrides)
    return caught.value.problems


def test_nothing_configured_is_everything_embedded_on_loopback() -> None:
    config = load_config({"HOME": "/var/empty"})
    assert config.listen == "127.0.0.1:50051"
    assert config.data_dir == "/var/empty/.local/share/registrar"
    assert config.database_url == "sqlite:////var/empty/.local/share/registrar/registrar.db"
    assert config.mlflow_tracking_uri.startswith("sqlite:///")
    assert config.is_s3_embedded
    assert config.tenants == ("default",)


def test_every_problem_is_reported_at_once() -> None:
    found = problems(
        {
            "REGISTRAR_WORKERS": "none",
            "REGISTRAR_LOG_LEVEL": "loud",
            "REGISTRAR_TENANTS": "UPPER,ok-name",
            "REGISTRAR_DATABASE_URL": "mysql://host/db",
            "REGISTRAR_LISTEN": "nowhere",
            "MLFLOW_ARTIFACT_ROOT": "/a/folder",
            "AWS_ACCESS_KEY_ID": "key",
        }
    )
    named = ("REGISTRAR_WORKERS", "REGISTRAR_LOG_LEVEL", "REGISTRAR_TENANTS", "REGISTRAR_DATABASE_URL", "listen")
    for name in (*named, "MLFLOW_ARTIFACT_ROOT", "AWS_ACCESS_KEY_ID"):
        assert any(problem.startswith(name) for problem in found), name


def test_an_unknown_name_of_ours_is_an_error_that_lists_the_known_ones() -> None:
    (problem,) = problems({"REGISTRAR_WORKRES": "2"})
    assert problem.startswith("REGISTRAR_WORKRES: there is no such variable")
    assert "REGISTRAR_WORKERS" in problem


def test_names_of_others_and_of_the_client_are_left_alone() -> None:
    load_config({"MLFLOW_UNKNOWN": "1", "PATH": "", "REGISTRAR_SERVER": "elsewhere:1", "REGISTRAR_TEST_MINIO": "minio"})


@pytest.mark.parametrize("name", [name for name in KNOWN_VARIABLES if name.startswith("REGISTRAR_")])
def test_an_empty_variable_counts_as_unset(name: str) -> None:
    assert load_config({"HOME": "/var/empty", name: ""}) == load_config({"HOME": "/var/empty"})


def test_every_known_variable_has_a_field() -> None:
    config = load_config({})
    assert all(hasattr(config, variable.field) for variable in KNOWN_VARIABLES.values())


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:50051", "[::1]:50051"])
def test_loopback_is_served_without_a_flag(listen: str) -> None:
    assert load_config({"REGISTRAR_LISTEN": listen}).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "192.168.0.7:50051", "[::]:50051", "registry.example:1"])
def test_any_other_address_in_the_clear_needs_the_flag_and_is_warned_of(listen: str) -> None:
    (problem,) = problems({"REGISTRAR_LISTEN": listen})
    assert "REGISTRAR_ALLOW_PLAINTEXT_NETWORK" in problem
    allowed = load_config({"REGISTRAR_LISTEN": listen, "REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "true"})
    assert allowed.listen == listen
    (warning,) = allowed.warnings
    assert warning.startswith(f"{listen} is not loopback")
    assert not load_config({"REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "true"}).warnings


@pytest.mark.parametrize("listen", ["nowhere", "192.168.0.7:50061", "host:port"])
def test_the_bulk_address_has_the_rules_of_the_main_one(listen: str) -> None:
    (problem,) = problems({"REGISTRAR_BULK_LISTEN": listen})
    assert problem.startswith("bulk-listen: ")
    assert load_config({"REGISTRAR_BULK_LISTEN": "localhost:0"}).bulk_listen == "localhost:0"


@pytest.mark.parametrize("every", ["0.0.0.0:50061", "[::]:50061"])
def test_clients_must_be_told_where_a_bulk_process_is_that_listens_on_every_address(every: str) -> None:
    environment = {"REGISTRAR_BULK_LISTEN": every, "REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "true"}
    (problem,) = problems(environment)
    assert problem.startswith("REGISTRAR_BULK_ENDPOINT")
    config = load_config({**environment, "REGISTRAR_BULK_ENDPOINT": "registry.example:50061"})
    assert (config.bulk_listen, config.bulk_endpoint) == (every, "registry.example:50061")


def test_the_bulk_process_may_have_cores_of_its_own() -> None:
    core = min(os.sched_getaffinity(0))
    environment = {"REGISTRAR_BULK_LISTEN": "127.0.0.1:0", "REGISTRAR_BULK_CORES": f"{core}-{core}, {core}"}
    config = load_config(environment)
    assert config.bulk_cores == (core,)
    assert Config.from_json(config.to_json()) == config
    assert config.shown()["bulk_cores"] == str(core)


@pytest.mark.parametrize("cores", ["one", "0-", "-1", "3-1", "0;1", "9999", "every"])
def test_cores_must_be_there_and_leave_the_workers_one(cores: str) -> None:
    every = ",".join(map(str, os.sched_getaffinity(0)))
    listening = {"REGISTRAR_BULK_LISTEN": "127.0.0.1:0"}
    (problem,) = problems({**listening, "REGISTRAR_BULK_CORES": every if cores == "every" else cores})
    assert problem.startswith("REGISTRAR_BULK_CORES")


def test_cores_without_a_bulk_process_are_a_mistake() -> None:
    (problem,) = problems({"REGISTRAR_BULK_CORES": str(min(os.sched_getaffinity(0)))})
    assert "REGISTRAR_BULK_LISTEN" in problem


def test_what_the_command_line_gives_wins_over_the_environment() -> None:
    config = load_config(
        {"REGISTRAR_LISTEN": "127.0.0.1:1", "REGISTRAR_WORKERS": "3"}, listen="127.0.0.1:2", workers=None
    )
    assert (config.listen, config.workers) == ("127.0.0.1:2", 3)


def test_secrets_are_hidden_where_they_are_shown() -> None:
    config = load_config(
        {
            "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9000",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "s3cret-key",
            "REGISTRAR_DATABASE_URL": "postgresql://user:s3cret-pw@127.0.0.1/registrar",
            "MLFLOW_TRACKING_URI": "http://user:s3cret-uri@127.0.0.1:5000",
        }
    )
    shown = config.shown()
    assert "s3cret" not in str(shown)
    assert shown["s3_secret_key"] == "***"
    assert shown["database_url"] == "postgresql://user:***@127.0.0.1/registrar"


def test_printing_a_config_shows_no_secret() -> None:
    config = load_config(
        {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "MLFLOW_ARTIFACT_ROOT": "s3://abc"}
    )
    assert "s3cret" not in repr(config)


def test_a_problem_shows_no_secret() -> None:
    found = problems(
        {"REGISTRAR_DATABASE_URL": "mysql://user:s3cret@host/db", "MLFLOW_TRACKING_URI": "ftp://u:s3cret@h"}
    )
    assert "s3cret" not in "\n".join(found)


def test_a_password_is_hidden_also_when_it_is_part_of_the_name() -> None:
    assert hide_password("postgresql://pw:pw@host/pw") == "postgresql://pw:***@host/pw"


def test_a_child_process_gets_the_same_configuration() -> None:
    config = load_config({"REGISTRAR_TENANTS": "acme-corp", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"})
    assert Config.from_json(config.to_json()) == config


def test_a_value_that_is_wrong_is_reported_once_and_no_default_is_wrong() -> None:
    for name in ("REGISTRAR_WORKERS", "REGISTRAR_STALL_SECONDS", "REGISTRAR_LOG_LEVEL", "ML_REGISTRY_CACHE_TTL"):
        (problem,) = problems({name: "no such value"})
        assert problem.startswith(name)


def test_what_is_shown_as_the_default_is_what_holds() -> None:
    shown = load_config({}).shown()
    for name, variable in KNOWN_VARIABLES.items():
        assert bool(variable.default) != bool(variable.otherwise), name
        if variable.default:
            assert shown[variable.field].lower().removesuffix(".0") == variable.default, name


def test_threads_must_leave_room_beside_the_transfers() -> None:
    (problem,) = problems({"REGISTRAR_THREADS": "8", "REGISTRAR_TRANSFER_SLOTS": "8"})
    assert "at least 28" in problem


def test_the_embedded_store_cannot_serve_a_remote_mlflow_from_an_open_address() -> None:
    environment = {"REGISTRAR_LISTEN": "0.0.0.0:1", "REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "1"}
    (problem,) = problems({**environment, "MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    assert problem.startswith("MLFLOW_ARTIFACT_ROOT")


def test_the_default_tenant_always_exists_and_none_is_there_twice() -> None:
    assert load_config({"REGISTRAR_TENANTS": "acme-corp, default,acme-corp"}).tenants == ("default", "acme-corp")


def test_bucket_and_prefix_come_from_the_artifact_root() -> None:
    config = load_config({"MLFLOW_ARTIFACT_ROOT": "s3://ml-artifacts/registrar/prod/"})
    assert (config.bucket, config.prefix) == ("ml-artifacts", "registrar/prod")


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "0.0.0.0:9464", "[::]:0", "metrics.internal:9464"])
def test_metrics_may_be_served_on_any_address(address: str) -> None:
    assert load_config({"HOME": "/var/empty", "REGISTRAR_METRICS_LISTEN": address}).metrics_listen == address


def test_what_is_no_address_of_metrics_or_traces_is_a_problem() -> None:
    found = problems(
        {
            "REGISTRAR_METRICS_LISTEN": "9464",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        }
    )
    for name in ("REGISTRAR_METRICS_LISTEN", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        assert any(problem.startswith(name) for problem in found), name


def test_traces_go_nowhere_unless_opentelemetrys_variables_say_so() -> None:
    named = {"HOME": "/var/empty", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}
    of_traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:4318/v1/traces"}
    assert not load_config({"HOME": "/var/empty"}).otlp_endpoint
    assert load_config(named).otlp_endpoint == "http://collector:4317"
    assert load_config({**named, **of_traces}).otlp_endpoint == "http://traces:4318/v1/traces"
    assert not load_config({**named, "OTEL_SDK_DISABLED": "true"}).otlp_endpoint
    assert not load_config({**named, "OTEL_TRACES_EXPORTER": "none"}).otlp_endpoint
