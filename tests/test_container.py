"""conf/container/: what the image is made of exists, and its entrypoint starts what it is told.

Building it takes minutes and a base image, so no test does that.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "conf" / "container"
ENTRYPOINT = FOLDER / "entrypoint.sh"
BUILD = (ROOT / "build.sh").read_text()


def instructions():
    """Return [(stage, instruction, arguments)] of the Containerfile."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    found, stage = [], ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            word, _, arguments = line.partition(" ")
            if word == "FROM":
                stage = arguments.partition(" AS ")[2] or "image"
            found.append((stage, word, arguments))
    return found


def copied():
    """Return the paths that are copied out of the checkout."""
    return [
        source
        for _, word, arguments in instructions()
        if word == "COPY" and not arguments.startswith("--from=")
        for source in arguments.split()[:-1]
    ]


def runs(stage):
    """Return the commands of a stage, as lists of words."""
    lines = [text for place, word, text in instructions() if (place, word) == (stage, "RUN")]
    return [shlex.split(command) for line in lines for command in line.split("&&")]


class TestContainerfile:
    def test_what_it_copies_is_there(self):
        assert len(copied()) > 5
        for source in copied():
            assert (ROOT / source).exists(), source

    def test_nothing_that_it_copies_is_ignored(self):
        lines = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
        ignored = [line.lstrip("/") for line in lines if line and line[0] != "#"]
        for source in copied():
            assert not any(fnmatch(source, pattern) for pattern in ignored), source

    def test_what_builds_leave_behind_is_ignored(self):
        """Copied into the image, it would be taken for what is made there."""
        ignored = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
        for line in ("/.venv", "/build", "/dist", "/native/build*", "/.git"):
            assert line in ignored
            assert line == "/.git" or f"{line}/" in (ROOT / ".gitignore").read_text().splitlines()

    def test_what_it_takes_from_the_other_stage_is_made_there(self):
        (taken,) = [a for _, w, a in instructions() if w == "COPY" and "--from=" in a]
        assert taken.split()[:2] == ["--from=wheel", "/checkout/dist/"]
        assert runs("wheel") == [["./build.sh", "wheel"]]
        assert ("wheel", "WORKDIR", "/checkout") in instructions()
        sources = set(re.search(r"^  cp -R (.*) build/source$", BUILD, re.MULTILINE)[1].split())
        assert sources < set(copied())  # what build.sh packs

    def test_system_packages(self):
        """Python and Java are what build.sh installs elsewhere; two more serve the entrypoint."""
        (install,) = [words for words in runs("image") if "install" in words and "-y" in words]
        named = {word for word in install[install.index("install") + 1 :] if word[0] != "-"}
        entrypoint = ENTRYPOINT.read_text()
        assert named == {"default-jre-headless", "python3-venv", "tini", "libnss-wrapper"}
        assert all(name in BUILD for name in ("default-jre-headless", "python3-venv"))
        assert "exec tini" in entrypoint
        assert "libnss_wrapper.so" in entrypoint

    def test_python_packages_come_from_the_lock_as_in_build_sh(self):
        (install,) = [words for words in runs("image") if "-r" in words]
        for words in ("--require-hashes", "--only-binary :all: --no-binary pyspark"):
            assert words in " ".join(install)
            assert words in BUILD
        assert install[install.index("-r") + 1].endswith("/requirements.lock")
        (package,) = [w for w in runs("image") if "--no-deps" in w]
        assert package[-1].endswith("/dist/*.whl")

    def test_base_can_be_replaced(self):
        first = instructions()[0]
        assert first[1:] == ("ARG", "BASE=debian:trixie-slim")
        bases = [arguments for _, word, arguments in instructions() if word == "FROM"]
        assert bases == ["${BASE} AS wheel", "${BASE}"]

    def test_it_runs_as_a_number_that_is_not_root(self):
        users = [arguments for _, word, arguments in instructions() if word == "USER"]
        assert users == ["185"]

    def test_no_addresses(self):
        for path in FOLDER.iterdir():
            assert not re.search(r"https?://|index-url|find-links", path.read_text()), path.name


@pytest.fixture
def image(tmp_path):
    """A stand-in for the image: programs that print how they were called."""
    return Image(tmp_path)


class Image:
    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        for name in ("bash", "cp", "grep", "id", "mktemp", "sort"):
            self.link(name)
        self.add("getent", "exit 0")
        self.add("tini", 'test "$1 $2" = "-s --" && shift 2 && exec "$@"')
        for name in ("minia", "spark/bin/spark-submit", "java/bin/java"):
            self.add(name, f'printf "%s\\n" {name} "$@"')

    def link(self, name):
        self.bin.mkdir(exist_ok=True)
        (self.bin / name).symlink_to(shutil.which(name))

    def add(self, name, script):
        path = self.folder / name if "/" in name else self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def start(self, *arguments, **environment):
        folders = {"SPARK_HOME": f"{self.folder}/spark", "JAVA_HOME": f"{self.folder}/java"}
        return subprocess.run(
            [self.bin / "bash", ENTRYPOINT, *arguments],
            env={"PATH": str(self.bin), **folders, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


class TestEntrypoint:
    def test_any_program_is_started_as_it_is(self, image):
        done = image.start("minia", "run", "--images", "two words")
        assert (done.stdout, done.stderr) == ("minia\nrun\n--images\ntwo words\n", "")

    def test_exit_code_and_unknown_programs(self, image):
        image.add("minia", "exit 3")
        assert image.start("minia").returncode == 3
        assert image.start("nonsense").returncode == 127

    def test_driver(self, image):
        arguments = (
            "--properties-file",
            "/opt/spark/conf/spark.properties",
            "local:///a.py",
            "x y",
        )
        done = image.start("driver", *arguments, SPARK_DRIVER_BIND_ADDRESS="10.0.0.7")
        assert done.stdout.splitlines() == [
            *("spark/bin/spark-submit", "--deploy-mode", "client"),
            *("--conf", "spark.driver.bindAddress=10.0.0.7"),
            *("--conf", "spark.executorEnv.SPARK_DRIVER_POD_IP=10.0.0.7", *arguments),
        ]

    def test_executor(self, image):
        options = {f"SPARK_JAVA_OPT_{n}": f"-Dnumber={n} of 12" for n in range(12)}
        driver = "spark://CoarseGrainedScheduler@driver:7078"
        done = image.start(
            "executor",
            **options,
            SPARK_EXECUTOR_MEMORY="4096m",
            SPARK_CLASSPATH="/extra/*",
            SPARK_DRIVER_URL=driver,
            SPARK_EXECUTOR_ID="7",
            SPARK_EXECUTOR_CORES="4",
            SPARK_APPLICATION_ID="spark-1",
            SPARK_EXECUTOR_POD_IP="10.0.0.8",
            SPARK_RESOURCE_PROFILE_ID="0",
            SPARK_EXECUTOR_POD_NAME="pod-7",
        )
        assert done.stderr == ""
        home = f"{image.folder}/spark"
        assert done.stdout.splitlines() == [
            "java/bin/java",
            *options.values(),
            *("-Xms4096m", "-Xmx4096m", "-cp", f"/extra/*:{home}/conf:{home}/jars/*"),
            "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
            *("--driver-url", driver, "--executor-id", "7", "--cores", "4"),
            *("--app-id", "spark-1", "--hostname", "10.0.0.8"),
            *("--resourceProfileId", "0", "--podName", "pod-7"),
        ]

    def test_executor_without_what_spark_sets_says_what_is_missing(self, image):
        done = image.start("executor")
        assert done.returncode == 1
        assert "SPARK_EXECUTOR_MEMORY: unbound variable" in done.stderr

    def test_a_user_without_a_name_gets_one(self, image, tmp_path):
        image.add("getent", "exit 2")
        # not `env`: LD_PRELOAD of a library that is not here makes every program complain
        image.add("tini", 'echo "$LD_PRELOAD $NSS_WRAPPER_GROUP"; tail -1 "$NSS_WRAPPER_PASSWD"')
        image.link("tail")
        done = image.start("minia", TMPDIR=str(tmp_path), HOME="/home/minia")
        first, *_, last = done.stdout.splitlines()
        assert first == "libnss_wrapper.so /etc/group"
        assert re.fullmatch(r"minia:x:\d+:\d+::/home/minia:/bin/false", last)


class TestVerb:
    def build(self, tmp_path, *arguments, tools=("buildah",)):
        for name in ("bash", "dirname", "sed"):
            (tmp_path / name).symlink_to(shutil.which(name))
        for name in tools:
            (tmp_path / name).write_text(f'#!/bin/bash\nprintf "%s\\n" {name} "$@"\n')
            (tmp_path / name).chmod(0o755)
        return subprocess.run(
            [tmp_path / "bash", ROOT / "build.sh", "container", *arguments],
            env={"PATH": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def test_buildah_comes_before_podman(self, tmp_path):
        done = self.build(tmp_path, tools=("podman", "buildah"))
        version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
        said, tool, verb, *options = done.stdout.splitlines()[:-1]
        assert said.startswith(f"-- minia-spark:{version}, by buildah")
        assert (tool, verb) == ("buildah", "build")
        assert options == [
            *("--layers", "--tag", f"minia-spark:{version}"),
            *("--file", "conf/container/Containerfile"),
            *("--ignorefile", "conf/container/Containerfile.dockerignore", "."),
        ]

    def test_base_and_name(self, tmp_path):
        done = self.build(
            tmp_path, "--base", "site/debian:12", "--tag", "reg:5000/a", tools=("podman",)
        )
        lines = done.stdout.splitlines()
        assert lines[1:6] == ["podman", "build", "--layers", "--build-arg", "BASE=site/debian:12"]
        assert re.fullmatch(r"reg:5000/a:\d+\.\d+\.\d+", lines[lines.index("--tag") + 1])

    def test_no_tool(self, tmp_path):
        done = self.build(tmp_path, tools=())
        assert done.returncode == 1
        assert done.stderr.startswith("build.sh: missing: buildah or podman\n")
        assert "apt-get install -y buildah" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--base"], "--base needs a name"),
            (["--tag", ""], "--tag needs a name"),
            (["debian"], "container takes --base IMAGE and --tag NAME, not 'debian'"),
        ],
    )
    def test_wrong_arguments(self, tmp_path, arguments, message):
        done = self.build(tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (2, f"build.sh: {message}\n")
