"""conf/schedule/: every file is what its scheduler reads, and calls minia with options it has."""

from __future__ import annotations

import configparser
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from minia_spark import __version__
from minia_spark.cli.parser import parser
from minia_spark.rooms import HOUSE

ROOT = Path(__file__).resolve().parents[1]
SCHEDULES = ROOT / "conf" / "schedule"
PROGRAM = "/opt/minia/.venv/bin/minia"
FILES = {
    *("minia.cron", "minia-reprocess.service", "minia-reprocess.timer"),
    *("airflow_minia.py", "kubernetes.yaml"),
}
PARTS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def check_cron(schedule: str) -> None:
    """Check the five fields of a cron schedule: ``*`` or numbers, lists, ranges and steps."""
    fields = schedule.split(" ")
    assert len(fields) == 5
    for field, (low, high) in zip(fields, PARTS, strict=True):
        for item in field.split(","):
            found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", item)
            assert found, field
            for number in found.groups()[:2]:
                assert number is None or low <= int(number) <= high, field


def check_arguments(arguments: list[str]) -> None:
    """Check what a schedule calls, as the command line itself does before anything starts."""
    options = parser(HOUSE, arguments).parse_args(arguments)
    assert options.command == "reprocess"
    assert str(options.inbox) == "/srv/survey/inbox"
    assert options.warehouse == "/srv/survey/warehouse"
    assert options.settle >= 60  # somebody may be copying
    assert options.log_json.endswith("/events.jsonl")
    HOUSE.load_settings(None, options.set)


def test_all_are_here():
    assert {path.name for path in SCHEDULES.iterdir() if path.is_file()} == FILES


@pytest.mark.parametrize(
    "schedule", ["* * * *", "60 * * * *", "* 24 * * *", "a * * * *", "*/0 * * * *"]
)
def test_wrong_schedules_are_noticed(schedule):
    with pytest.raises(AssertionError):
        check_cron(schedule)


def test_cron():
    lines = (SCHEDULES / "minia.cron").read_text().splitlines()
    jobs = []
    for line in lines:
        if re.match(r"\s*(#|$)", line):
            continue
        if re.match(r"[A-Z]+=\S+$", line):
            continue
        jobs.append(line)
    (job,) = jobs
    *fields, user, command = job.split(" ", 6)
    check_cron(" ".join(fields))
    assert user == "minia"
    assert "%" not in command  # cron would take it for a line break
    program, *arguments = shlex.split(command)
    assert program == PROGRAM
    assert arguments.pop().startswith(">>/")
    check_arguments(arguments)


def unit(name: str) -> configparser.ConfigParser:
    text = (SCHEDULES / name).read_text()
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(re.sub(r"\\\n\s*", "", text))
    return parser


class TestSystemd:
    def test_service(self):
        service = unit("minia-reprocess.service")["Service"]
        program, *arguments = shlex.split(service["ExecStart"])
        assert program == PROGRAM
        check_arguments(arguments)
        assert service["Type"] == "oneshot"
        options = parser(HOUSE, arguments).parse_args(arguments)
        writable = [*service["ReadWritePaths"].split(), f"/var/log/{service['LogsDirectory']}"]
        settings = HOUSE.load_settings(None, options.set)
        for path in (options.warehouse, options.log_json, settings.log.metrics):
            assert any(Path(path).is_relative_to(folder) for folder in writable), path

    def test_timer(self):
        timer = unit("minia-reprocess.timer")
        assert timer["Timer"]["OnCalendar"] == "*-*-* 06:15:00"
        assert timer["Install"]["WantedBy"] == "timers.target"

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
    def test_systemd_finds_nothing_wrong(self, tmp_path):
        program = tmp_path / "minia"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for name in ("minia-reprocess.service", "minia-reprocess.timer"):
            text = (SCHEDULES / name).read_text().replace(PROGRAM, str(program))
            (tmp_path / name).write_text(text.replace("User=minia\n", ""))
        command = ["systemd-analyze", "verify", "--man=no"]
        paths = [str(tmp_path / name) for name in FILES if name.startswith("minia-")]
        done = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
        said = [
            line for line in done.stderr.splitlines() if str(tmp_path) in line or "minia" in line
        ]
        assert (done.returncode, said) == (0, [])
        calendar = ["systemd-analyze", "calendar", "*-*-* 06:15:00"]
        assert subprocess.run(calendar, capture_output=True, check=False).returncode == 0


# The parameters of the operator in apache-airflow-providers-apache-spark 4 to 6 that we use, and
# those of every operator.
OPERATOR = {
    *("task_id", "name", "application", "application_args", "properties_file", "py_files", "files"),
    *("archives", "conf", "retries", "retry_delay"),
}


@pytest.mark.parametrize("version", [2, 3])
def test_airflow(monkeypatch, version):
    """The file as Airflow runs it, with stand-ins for Airflow's two classes."""
    made = SimpleNamespace(dags=[], tasks=[])

    class Dag:
        def __init__(self, **options: object) -> None:
            made.dags.append(options)

        def __enter__(self) -> Dag:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    modules = {"airflow": ModuleType("airflow")}
    for name in ("providers", "providers.apache", "providers.apache.spark"):
        modules[f"airflow.{name}"] = ModuleType(f"airflow.{name}")
    spark = "airflow.providers.apache.spark.operators"
    modules |= {spark: ModuleType(spark), f"{spark}.spark_submit": ModuleType(spark)}
    modules[f"{spark}.spark_submit"].SparkSubmitOperator = (  # type: ignore[attr-defined]
        lambda **options: made.tasks.append(options)
    )
    home = "airflow" if version == 2 else "airflow.sdk"
    modules.setdefault(home, ModuleType(home)).DAG = Dag  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    runpy.run_path(str(SCHEDULES / "airflow_minia.py"))

    (dag,), (task,) = made.dags, made.tasks
    check_cron(dag["schedule"])
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    assert dag["start_date"].utcoffset() == timedelta(0)
    assert set(task) == OPERATOR
    job = ROOT / "jobs" / Path(task["application"]).name
    assert job.is_file()
    check_arguments([job.stem, *task["application_args"]])
    assert task["py_files"].endswith(f"/minia_spark-{__version__}.zip")
    assert (ROOT / Path(task["properties_file"]).relative_to("/opt/minia")).is_file()


def test_kubernetes():
    found = yaml.safe_load((SCHEDULES / "kubernetes.yaml").read_text())
    assert (found["apiVersion"], found["kind"]) == ("batch/v1", "CronJob")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])
    spec = found["spec"]
    check_cron(spec["schedule"])
    assert spec["concurrencyPolicy"] in ("Allow", "Forbid", "Replace")
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")  # what a Job allows

    (container,) = pod["containers"]
    assert container["image"].endswith(f":{__version__}")
    # what is not in the image's own command line: its entrypoint starts what the arguments name
    assert "command" not in container
    assert all(isinstance(argument, str) for argument in container["args"])
    program, *arguments = container["args"]
    assert program == "minia"
    check_arguments(arguments)

    user = pod["securityContext"]["runAsUser"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"\nUSER {user}\n" in (ROOT / "conf" / "container" / "Containerfile").read_text()
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert Path("/tmp") in mounts.values()  # the root is read-only, Spark and Python write there
    options = parser(HOUSE, arguments).parse_args(arguments)
    for place in (options.inbox, options.warehouse, options.log_json):
        assert any(Path(place).is_relative_to(mount) for mount in mounts.values()), place

    settings = HOUSE.load_settings(None, options.set)
    cores = int(container["resources"]["requests"]["cpu"])
    assert settings.spark.master == f"local[{cores}]"
    heap, limit = settings.spark.driver_memory, container["resources"]["limits"]["memory"]
    assert limit == container["resources"]["requests"]["memory"]
    assert 2 * int(heap.removesuffix("g")) <= int(limit.removesuffix("Gi"))
