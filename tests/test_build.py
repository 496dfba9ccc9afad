"""build.sh: what it finds, installs, refuses and says; and the lock files that it installs from.

The functions of build.sh run alone here, on a system that a test makes up: programs are small
scripts in a folder that is all of PATH.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build.sh"
BASICS = [
    "awk",
    "bash",
    "cat",
    "dirname",
    "echo",
    "env",
    "grep",
    "head",
    "readlink",
    "sed",
    "sort",
    "tail",
]
BASICS += ["tr", "uname", "xargs"]


def run(*arguments, **options):
    """Run build.sh as a user does."""
    return subprocess.run(
        [BUILD, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


@pytest.fixture
def system(tmp_path):
    """A made-up system; `system.add` gives it a program, `system.call` runs shell code on it."""
    return System(tmp_path)


class System:
    """The functions of build.sh on a PATH that holds nothing but basics and what a test adds."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        for name in BASICS:
            (self.bin / name).symlink_to(shutil.which(name))
        source = BUILD.read_text()
        functions, start, _ = source.partition(
            "# ---------------------------------------------------------------- start\n"
        )
        assert start
        # where build.sh takes its place for the checkout
        (folder / "checkout").mkdir()
        (folder / "checkout" / "functions.sh").write_text(functions)

    def add(self, name, script):
        """Add a program with this text."""
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
        return path

    def java(self, home, version):
        """Add a Java of this version, as `java -XshowSettings:properties -version` tells it."""
        program = self.folder / home / "bin" / "java"
        program.parent.mkdir(parents=True)
        text = (
            f"    java.home = {program.parents[1]}\\n    java.specification.version = {version}\\n"
        )
        program.write_text(f"#!/bin/bash\nprintf '{text}' >&2\n")
        program.chmod(0o755)
        return program

    def apt(self, *, delivers):
        """Add an apt-get that notes its command line; installing adds the programs `delivers`."""
        touch = "".join(
            f"printf '#!/bin/bash\\n' >{self.bin}/{name}; /bin/chmod +x {self.bin}/{name};"
            for name in delivers
        )
        self.add(
            "apt-get",
            f'echo "apt-get $*" >>{self.log}; case " $* " in *" install "*) {touch} ;; esac',
        )
        self.add(
            "apt-cache", "case $1 in depends) echo '  Depends: openjdk-21-jre-headless' ;; esac"
        )

    def call(self, code, **environment):
        """Run shell code after the functions of build.sh."""
        functions = self.folder / "checkout" / "functions.sh"
        text = f"source {shlex.quote(str(functions))}; jvms={self.folder}/jvms; {code}"
        return subprocess.run(
            [self.bin / "bash", "-c", text],
            cwd=self.folder,
            env={"PATH": str(self.bin), "HOME": "/nonexistent"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


class TestVerbs:
    def test_help_names_every_verb(self):
        done = run("help")
        assert done.returncode == 0
        cases = BUILD.read_text().rpartition("case $verb in\n  demo)")
        patterns = re.findall(r"^  ([a-z][a-z| -]*)\)", "  demo)" + cases[2], re.MULTILINE)
        verbs = [verb for pattern in patterns for verb in pattern.split(" | ") if verb[0] != "-"]
        assert len(verbs) > 5
        for verb in verbs:
            assert re.search(rf"^  {verb}\b", done.stdout, re.MULTILINE), verb

    def test_without_a_verb_it_helps(self):
        assert run().stdout == run("help").stdout

    def test_unknown_verb(self):
        done = run("dmeo")
        assert done.returncode == 2
        assert done.stderr.startswith("build.sh: no verb 'dmeo'\n")

    @pytest.mark.parametrize("verb", ["native", "wheel", "package", "lint", "setup"])
    def test_arguments_that_would_be_ignored_are_refused(self, verb):
        done = run(verb, "extra")
        assert done.returncode == 2
        assert done.stderr.startswith(
            f"build.sh: {verb} takes {'--networks' if verb == 'package' else 'no arguments'}"
        )

    @pytest.mark.parametrize(
        ("given", "passed_on"),
        [
            ([], ["--warehouse", "{root}/demo/warehouse"]),
            (["--json"], ["--warehouse", "{root}/demo/warehouse", "--json"]),
            (["--warehouse", "a b"], ["--warehouse", "a b"]),
            (["--warehouse=w"], ["--warehouse=w"]),
        ],
    )
    def test_demo_gives_a_warehouse_unless_told_one(self, system, given, passed_on):
        minia = system.folder / "checkout" / ".venv" / "bin" / "minia"
        minia.parent.mkdir(parents=True)
        minia.write_text('#!/bin/bash\nprintf "%s\\n" "$PWD" "$@"\n')
        minia.chmod(0o755)
        done = system.call(f"setup() {{ :; }}; demo {shlex.join(given)}")
        said, folder, *arguments = done.stdout.splitlines()
        assert said == "-- demo"
        assert folder == str(system.folder)  # the caller's: there a relative DIR has its meaning
        root = str(system.folder / "checkout")
        assert arguments == ["demo", *(word.format(root=root) for word in passed_on)]


class TestJava:
    def test_java_home_wins(self, system):
        system.java("own", "17")
        system.java("jvms/newer", "21")
        done = system.call("find_java", JAVA_HOME=str(system.folder / "own"))
        assert done.stdout == f"{system.folder}/own\n"

    def test_on_path(self, system):
        (system.bin / "java").symlink_to(system.java("somewhere", "21"))
        system.java("jvms/newer", "25")
        assert system.call("find_java").stdout == f"{system.folder}/somewhere\n"

    @pytest.mark.parametrize("old", ["1.8", "11"])
    def test_too_old_on_path_and_newer_ones_installed(self, system, old):
        (system.bin / "java").symlink_to(system.java("jvms/java-old", old))
        system.java("jvms/java-17", "17")
        system.java("jvms/temurin-25", "25")
        system.java("jvms/zulu-21", "21")
        assert system.call("find_java").stdout == f"{system.folder}/jvms/temurin-25\n"

    def test_all_too_old(self, system):
        system.java("jvms/java-11", "11")
        done = system.call("find_java || echo none")
        assert done.stdout == "none\n"

    def test_no_java(self, system):
        assert system.call("find_java || echo none").stdout == "none\n"

    def test_a_java_that_does_not_run(self, system):
        system.add("java", "exit 1")
        assert system.call("find_java || echo none").stdout == "none\n"


class TestPython:
    def test_the_first_that_is_new_enough(self, system):
        system.add("python3", "exit 1")  # a 3.9: answers no
        system.add("python3.12-config", "exit 0")  # no Python at all
        system.add("python3.10", "exit 1")
        system.add("python3.11", "exit 0")
        assert system.call("find_python").stdout == "python3.11\n"

    def test_the_users_choice_only(self, system):
        system.add("python3", "exit 0")
        system.add("mine", "exit 1")
        assert system.call("find_python || echo none", PYTHON="mine").stdout == "none\n"

    def test_the_version_is_asked_for(self, system):
        (system.bin / "python3").symlink_to(sys.executable)
        assert system.call("find_python").stdout == "python3\n"
        functions = system.folder / "checkout" / "functions.sh"
        later = functions.read_text().replace("min_python=11", "min_python=99")
        functions.write_text(later)
        assert system.call("find_python || echo none").stdout == "none\n"


class TestMissing:
    def test_nothing_missing_installs_nothing(self, system):
        system.add("g++", "")
        system.add("make", "")
        system.apt(delivers=[])
        done = system.call("need compiler")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not system.log.exists()

    def test_no_rights_names_the_thing_and_the_command(self, system):
        system.apt(delivers=[])
        system.add("sudo", "exit 1")  # it would ask for a password
        done = system.call("is_root() { false; }; need java compiler")
        assert done.returncode == 1
        assert done.stderr == (
            "build.sh: missing: Java 17 or later, a C++ compiler (g++) and make\n"
            "build.sh: install with: sudo apt-get update && "
            "sudo apt-get install -y default-jre-headless g++ make\n"
        )
        assert not system.log.exists()

    def test_no_apt(self, system):
        done = system.call("need compiler")
        assert done.returncode == 1
        assert done.stderr == (
            "build.sh: missing: a C++ compiler (g++) and make\n"
            "build.sh: install it with this system's package manager, then run this again\n"
        )

    def test_root_installs_all_at_once(self, system):
        system.apt(delivers=["g++", "make"])
        done = system.call("is_root() { true; }; need compiler")
        assert done.returncode == 0, done.stderr
        update, install = system.log.read_text().splitlines()
        assert update.endswith(" update")
        assert install.endswith(" install -y --no-install-recommends g++ make")
        assert "DPkg::Lock::Timeout" in install

    def test_sudo_without_password(self, system):
        system.apt(delivers=["g++", "make"])
        system.add("sudo", f'echo sudo >>{system.log}; if [ "$1" = -n ]; then shift; fi; "$@"')
        system.add("true", "exit 0")
        done = system.call("is_root() { false; }; need compiler")
        assert done.returncode == 0, done.stderr
        assert [line.split()[0] for line in system.log.read_text().splitlines()] == [
            *("sudo", "sudo", "apt-get"),  # may I, update
            *("sudo", "apt-get"),
        ]

    def test_an_install_that_does_not_help(self, system):
        system.apt(delivers=["make"])
        done = system.call("is_root() { true; }; need compiler")
        assert done.returncode == 1
        assert "still missing after installing g++ make: a C++ compiler (g++)" in done.stderr

    def test_a_browser_is_installed(self, system):
        system.apt(delivers=["chromium"])
        done = system.call("is_root() { true; }; setup_browser; echo on")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "on")
        assert system.log.read_text().endswith(" install -y --no-install-recommends chromium\n")
        again = system.call("setup_browser")
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    @pytest.mark.parametrize("apt", [False, True])
    def test_it_goes_on_without_a_browser(self, system, apt):
        if apt:
            system.apt(delivers=[])  # Ubuntu
        done = system.call("is_root() { true; }; setup_browser; echo on")
        assert done.returncode == 0
        assert "going on without a browser: tests of pages will be skipped" in done.stdout
        assert done.stdout.endswith("\non\n")

    def test_a_default_java_that_is_too_old(self, system):
        system.add(
            "apt-cache",
            "case $1 in depends) echo '  Depends: openjdk-11-jre-headless' ;;\n"
            "*) printf 'openjdk-%s-jre-headless\\n' 8 21 11 17 ;; esac",
        )
        assert system.call("package_of java").stdout == "openjdk-17-jre-headless\n"

    def test_the_venv_package_of_the_python_that_is_there(self, system):
        (system.bin / "python3").symlink_to(sys.executable)
        major, minor = sys.version_info[:2]
        assert system.call("package_of python").stdout == f"python{major}.{minor}-venv\n"


class TestEnvironment:
    def test_a_moved_checkout_gets_a_new_environment(self, system):
        place = system.folder / "checkout" / ".venv" / "bin"
        place.mkdir(parents=True)
        (place / "python").symlink_to(system.add("anypython", "exit 0"))
        (place / "pip").write_text(f"#!{place}/python\n")
        assert system.call("venv_works && echo yes").stdout == "yes\n"
        (place / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
        assert system.call("venv_works || echo no").stdout == "no\n"

    def uv(self, system, settings, code=0):
        """Install with an uv that tells what it was told, where pip has such settings."""
        place = system.folder / "checkout" / ".venv" / "bin"
        place.mkdir(parents=True)
        told = 'printf "%s\n" "$@"; env | grep -E "^(UV_|SSL_CERT|ALL_PROXY)"'
        made = "mkdir -p build/uv-some.lock"
        (place / "uv").symlink_to(system.add("anyuv", f"{told}; {made}; exit {code}"))
        (place / "python").symlink_to(sys.executable)
        for name in ("mkdir", "rm"):
            (system.bin / name).symlink_to(shutil.which(name))
        (system.folder / "settings").write_text(settings)
        known = system.folder / "settings"
        pip = f'pip() {{ if [[ $1 == config ]]; then cat {known}; else echo "pip $*"; fi; }}'
        done = system.call(f"{pip}; install_locked some.lock")
        assert not (place.parent.parent / "build" / "uv-some.lock").exists()
        return done

    def test_packages_come_from_where_pip_is_told_to_look(self, system):
        done = self.uv(
            system,
            ":env:.default-timeout='9'\n:env:.find-links='/wheels'\n"
            "global.cert='/etc/ca.crt'\nglobal.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\n"
            "global.find-links='/other'\nglobal.index-url='https://c/simple'\n"
            "install.trusted-host='c'\nglobal.trusted-host='d'\n",
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[:3] == ["pip", "install", "--require-hashes"]
        assert lines.index("-r") == lines.index("some.lock") - 1
        assert sorted(line for line in lines if re.match("UV_|SSL", line)) == [
            "SSL_CERT_FILE=/etc/ca.crt",
            "UV_DEFAULT_INDEX=https://c/simple",
            "UV_FIND_LINKS=/wheels",
            "UV_HTTP_TIMEOUT=9",
            "UV_INDEX=https://a/simple https://b/simple",
            "UV_INSECURE_HOST=c",
        ]

    def test_unusual_settings(self, system):
        done = self.uv(
            system,
            ":env:.index-url=''\nglobal.index-url=\"https://u:it's@a/simple\"\n"
            "global.timeout='7.5'\nglobal.cert='/a b/ca.crt'\nlist.format='columns'\n",
        )
        told = [line for line in done.stdout.splitlines() if re.match("UV_|SSL", line)]
        assert sorted(told) == [
            "SSL_CERT_FILE=/a b/ca.crt",
            "UV_DEFAULT_INDEX=https://u:it's@a/simple",
            "UV_HTTP_TIMEOUT=7",
        ]
        assert done.stderr == ""

    def test_pip_told_nothing(self, system):
        assert "UV_" not in self.uv(system, "").stdout

    def test_pip_installs_where_uv_cannot(self, system):
        done = self.uv(system, "", code=2)
        assert done.returncode == 0
        assert (
            done.stdout.splitlines()[-2:][0] == "-- pip tries it in place of uv, and takes longer"
        )
        assert done.stdout.splitlines()[-1].startswith("pip install --require-hashes --only-binary")

    def test_launcher_of_the_packed_environment(self, system):
        launcher = system.folder / "environment" / "bin" / "python"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(system.call("python_name=python3.99; environment_launcher").stdout)
        launcher.chmod(0o755)
        packages = f"{system.folder}/environment/lib/python3.99/site-packages"

        def launch(**environment):
            return subprocess.run(
                [launcher, "one", "two words"],
                env={"PATH": str(system.bin)} | environment,
                capture_output=True,
                text=True,
                check=False,
            )

        missing = launch()
        assert missing.returncode == 127
        assert missing.stderr == (
            f"{launcher}: this node has no python3.99; install it or set MINIA_PYTHON to its path\n"
        )
        system.add("python3.99", 'printf "%s\\n" path "$PYTHONPATH" "$@"')
        other = system.add("other", 'printf "%s\\n" other "$PYTHONPATH" "$@"')
        assert launch().stdout.splitlines() == ["path", packages, "one", "two words"]
        found = launch(MINIA_PYTHON=str(other), PYTHONPATH="/sparks/own").stdout.splitlines()
        assert found == ["other", f"{packages}:/sparks/own", "one", "two words"]


def pins(name):
    """Return {package: version} of a lock file, and check its form."""
    lines = (ROOT / name).read_text().splitlines()
    found = {}
    hashes = 0
    for line in lines:
        if line.startswith("    --hash=sha256:"):
            hashes += 1
        else:
            requirement = Requirement(line.removesuffix("\\").strip())
            assert requirement.url is None
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert not found or hashes > 0, f"no hash above {line!r}"
            found[canonicalize_name(requirement.name)] = Version(specifier.version)
            hashes = 0
    assert hashes > 0
    return found


class TestLocks:
    def test_the_runtime_lock_is_part_of_the_development_lock(self):
        runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
        assert runtime.items() <= development.items()

    def test_the_lock_with_networks_adds_to_the_runtime_lock_and_fits_the_development_lock(self):
        runtime, networks = pins("requirements.lock"), pins("requirements-networks.lock")
        assert runtime.items() <= networks.items()
        development = pins("requirements-dev.lock")
        both = networks.keys() & development.keys()
        assert {n: networks[n] for n in both} == {n: development[n] for n in both}

    def test_locks_hold_what_pyproject_asks_for(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        optional = project["optional-dependencies"]
        wanted = {
            "requirements.lock": project["dependencies"],
            "requirements-dev.lock": [
                *project["dependencies"],
                *(line for extra in ("bench", "dev") for line in optional[extra]),
            ],
            "requirements-networks.lock": [*project["dependencies"], *optional["networks"]],
        }
        for name, lines in wanted.items():
            locked = pins(name)
            for requirement in map(Requirement, lines):
                if requirement.name != project["name"]:
                    version = locked.get(canonicalize_name(requirement.name))
                    assert version is not None, f"{name} is old: ./build.sh lock ({requirement})"
                    assert version in requirement.specifier, f"{name} is old: ./build.sh lock"

    def test_nothing_that_is_packed_needs_what_is_not(self):
        (names,) = re.findall(r"^readonly not_packed='(.*)'$", BUILD.read_text(), re.MULTILINE)
        left_out = set(names.split("|"))
        locked = pins("requirements.lock")
        assert left_out <= set(locked)
        packed = {d.name: d.requires for d in metadata.distributions() if d.name in locked}
        assert "numpy" in packed
        for name in packed.keys() - left_out:
            for requirement in map(Requirement, packed[name] or ()):
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    assert canonicalize_name(requirement.name) not in left_out, name

    def test_no_addresses(self):
        for name in ("requirements.lock", "requirements-dev.lock", "requirements-networks.lock"):
            assert not re.search(
                r"://|--(extra-)?index-url|--find-links", (ROOT / name).read_text()
            )
