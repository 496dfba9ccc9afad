#!/usr/bin/env bash
# The one entry: sets up what a verb needs, then does it; `./build.sh help` lists the verbs.
# Everything lands inside this checkout (.venv/, native/build/, build/, dist/, demo/). The one
# exception: missing system packages are installed with apt-get, where that needs no password.
set -euo pipefail

readonly min_python=11 min_java=17     # Python 3.x; both are what Spark 4.3 asks for
readonly lock=requirements-dev.lock    # .venv holds everything that any verb needs, but for
readonly networks_lock=requirements-networks.lock   # TensorFlow, which only the tests of DELF need
jvms=/usr/lib/jvm                      # where Debian and Ubuntu install every Java
caller=$PWD
cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")"
root=$PWD
# Python's modules stay compiled inside .venv: compiled anew, they cost every process seconds.
unset PYTHONDONTWRITEBYTECODE

usage() {
  cat <<'TEXT'
./build.sh VERB [ARGUMENTS]     each verb first installs what it needs; run it as often as you like

  demo [--warehouse DIR]  find structures in the Hubble deep field and in a generated survey
  test [PYTEST ARGUMENTS] native tests, lint, pytest: what CI runs
  native                  the C++ program native/build/smh
  wheel                   the package with smh inside, under dist/, for pip on this kind of machine
  package [--networks]    what spark-submit needs, under dist/: the wheel, environment, smh, jobs, conf;
                          with TensorFlow in the environment, for DELF
  container [--base IMAGE] [--tag NAME]
                          an image with all of it, built by buildah or podman (jobs/README.md)
  web                     the program of the map's page, minia_spark/explorer/web/map.js, from its
                          sources; needs Node.js, which nobody needs who only uses it
  lint                    ruff, mypy, import rules
  bench [ARGUMENTS]       speed and memory against their limits
  setup                   everything the other verbs need, and nothing else
  lock [--upgrade]        renew requirements*.lock from pyproject.toml
  help                    this text

PYTHON names the interpreter for .venv, JAVA_HOME the Java for Spark; otherwise both are searched.
TEXT
}

say() { printf -- '-- %s\n' "$*"; }
die() { printf 'build.sh: %s\n' "$@" >&2; exit 1; }

# ---------------------------------------------------------------- what the system must provide

python_is_new() { "$1" -c "import sys; sys.exit(sys.version_info < (3, $min_python))" 2>/dev/null; }
python_makes_venvs() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {  # prints the first Python that is new enough
  local name
  for name in ${PYTHON:-python3 $(compgen -c python3. | grep -x 'python3\.[0-9]*' | sort -ruV)}; do
    if python_is_new "$name"; then echo "$name"; return; fi
  done
  return 1
}

venv_works() {  # runs, is new enough, and was made for this very folder
  { python_is_new .venv/bin/python && .venv/bin/python -c 'import pip' \
      && grep -qF "$root/.venv/bin/python" .venv/bin/pip; } 2>/dev/null
}

java_facts() {  # prints "MAJOR HOME" of a java program; nothing when it does not run
  "$1" -XshowSettings:properties -version 2>&1 \
    | sed -nE 's/^ *java\.home = //p; s/^ *java\.specification\.version = (1\.)?//p' \
    | { read -r home && read -r major && echo "$major $home"; } || true
}

find_java() {  # prints a home: JAVA_HOME, else the one on PATH, else the newest installed
  local program major home best=0 best_home=
  for program in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} "$(command -v java || true)"; do
    read -r major home <<<"$(java_facts "$program")"
    if (( ${major:-0} >= min_java )); then echo "$home"; return; fi
  done
  for program in "$jvms"/*/bin/java; do
    read -r major home <<<"$(java_facts "$program")"
    if (( ${major:-0} > best )); then best=$major best_home=$home; fi
  done
  (( best >= min_java )) && echo "$best_home"
}

have_python() { venv_works || python_makes_venvs "$(find_python)"; }
have_java() { find_java >/dev/null; }
have_compiler() { command -v "${CXX:-g++}" >/dev/null && command -v make >/dev/null; }

have_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

title_of() {
  case $1 in
    python) echo "Python 3.$min_python or later with its venv module" ;;
    java) echo "Java $min_java or later" ;;
    compiler) echo "a C++ compiler (${CXX:-g++}) and make" ;;
    browser) echo "Chromium" ;;
  esac
}

package_of() {  # prints the Debian or Ubuntu package for a missing thing
  local python java
  case $1 in
    python)
      if python=$(find_python); then
        "$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])'
      else  # the newest that the distribution has; it brings its interpreter along
        python=$(apt-cache pkgnames python3. | grep -xE 'python3\.[0-9]+-venv' | sort -V | tail -1)
        echo "${python:-python3-venv}"
      fi ;;
    java)  # the distribution's own choice, else the oldest that Spark takes
      java=$(apt-cache depends default-jre-headless 2>/dev/null \
        | sed -nE 's/.*Depends: openjdk-([0-9]+)-jre-headless.*/\1/p' | head -1)
      if (( ${java:-$min_java} >= min_java )); then
        echo default-jre-headless
      else
        apt-cache pkgnames openjdk- | sed -nE 's/^openjdk-([0-9]+)-jre-headless$/\1/p' | sort -n \
          | awk -v least="$min_java" '$1 >= least { print "openjdk-" $1 "-jre-headless"; exit }'
      fi ;;
    compiler) echo "g++ make" ;;
    browser) echo chromium ;;
  esac
}

is_root() { (( EUID == 0 )); }

need() {  # need THING...: returns when the system has all of them, or ends with what to do
  local thing missing=() titles='' packages sudo=()
  for thing in "$@"; do
    if ! "have_$thing"; then missing+=("$thing"); titles+="${titles:+, }$(title_of "$thing")"; fi
  done
  if (( ${#missing[@]} == 0 )); then return; fi

  if ! command -v apt-get >/dev/null; then
    die "missing: $titles" "install it with this system's package manager, then run this again"
  fi
  if ! is_root; then
    packages=$(for thing in "${missing[@]}"; do package_of "$thing"; done | xargs)
    sudo -n true 2>/dev/null || die "missing: $titles" \
      "install with: sudo apt-get update && sudo apt-get install -y $packages"
    sudo=(sudo)
  fi
  say "missing: $titles"
  # another apt-get may be at work: wait for it; needrestart and debconf must not ask
  local apt=(${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a
             apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
  "${apt[@]}" update
  packages=$(for thing in "${missing[@]}"; do package_of "$thing"; done | xargs)
  say "apt-get install $packages"
  # shellcheck disable=SC2086
  "${apt[@]}" install -y --no-install-recommends $packages </dev/null >/dev/null
  for thing in "${missing[@]}"; do
    "have_$thing" || die "still missing after installing $packages: $(title_of "$thing")"
  done
}

# ---------------------------------------------------------------- what is made in the checkout

alone() {  # runs a command while no other build.sh of this checkout sets up
  alone_by build.sh "$@"
}

alone_by() {  # alone_by FILE COMMAND...: runs it while nobody else holds the file
  local file=$1
  shift
  if command -v flock >/dev/null; then ( flock 9; "$@" 9<&- ) 9<"$file"; else "$@"; fi
}

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

# Modules are compiled when they are first imported, as most never are. Only these come as source
# (pure Python): else what has no wheel should fail by name, not in gcc. They are not compressed only
# to be unpacked in the next second.
readonly install=(install --require-hashes --only-binary :all: --no-binary pyspark --no-binary minisom
                  --config-settings=--build-option=--compression=stored)

install_locked() {  # install_locked LOCK: by uv, in a third of the time, else by pip
  local quiet=(-q)   # a terminal sees progress, a log only errors
  if [[ -t 1 ]]; then quiet=(); fi
  if uv_install "$1" ${quiet[@]+"${quiet[@]}"}; then return; fi
  say "pip tries it in place of uv, and takes longer"
  PIP_USE_PEP517=1 pip "${install[@]}" --no-compile ${quiet[@]+"${quiet[@]}" -q} -r "$1"
}

pip_settings() {  # prints NAME VALUES..., a line each, of what pip's files and variables tell it
  pip config list | .venv/bin/python -c 'import ast, sys
for line in sys.stdin:
    name, _, value = line.rstrip().partition("=")
    words = str(ast.literal_eval(value)).split()
    if words:
        print(name, *words)'
}

uv_install() (  # uv_install LOCK OPTIONS...; in a subshell: what it exports is for uv alone
  local settings links timeout cache=$root/build/uv-$1
  pip_says() {  # pip_says SETTING: prints its values; variables come before files, as for pip
    local section
    for section in :env: install global; do
      sed -n "s|^$section\.$1 ||p" <<<"$settings"
    done | head -n 1
  }
  tell() { if [[ ${2:-} && -z ${!1:-} ]]; then export "$1=$2"; fi; }   # what is set already stays

  if ! [[ -x .venv/bin/uv ]]; then
    mkdir -p build
    awk '/^[a-z]/ { wanted = /^uv==/ } wanted' "$lock" >build/uv.lock
    pip install -qq --require-hashes --only-binary :all: -r build/uv.lock || exit
  fi
  # packages come from where pip is told to look; of several places the best, as pip has it
  settings=$(pip_settings) || exit
  tell UV_DEFAULT_INDEX "$(pip_says index-url)"
  tell UV_INDEX "$(pip_says extra-index-url)"
  links=$(pip_says find-links)
  tell UV_FIND_LINKS "${links// /,}"
  tell UV_NO_INDEX "$(pip_says no-index)"
  tell UV_INSECURE_HOST "$(pip_says trusted-host)"
  timeout=$(pip_says timeout)
  timeout=${timeout:-$(pip_says default-timeout)}   # as PIP_DEFAULT_TIMEOUT says it
  tell UV_HTTP_TIMEOUT "${timeout%.*}"
  tell SSL_CERT_FILE "$(pip_says cert)"
  tell ALL_PROXY "$(pip_says proxy)"
  # unpacked beside .venv, into which it is linked: no copy, nothing left, nothing in $HOME
  trap 'rm -rf "$cache"' EXIT
  .venv/bin/uv pip "${install[@]}" --python .venv/bin/python --cache-dir "$cache" \
    --index-strategy unsafe-best-match "${@:2}" -r "$1"
)

setup_python() {
  if ! venv_works; then
    say "new environment .venv with $(find_python)"
    rm -rf .venv
    "$(find_python)" -m venv .venv
  fi
  if ! cmp -s "$lock" ".venv/$lock"; then
    say "installing $lock into .venv (Spark alone is 450 MB; takes minutes)"
    install_locked "$lock"
    cp "$lock" ".venv/$lock"
  fi
  if ! cmp -s pyproject.toml .venv/pyproject.toml; then
    say "installing minia-spark itself into .venv (editable)"
    pip install -q --no-deps --no-build-isolation --editable .
    cp pyproject.toml .venv/pyproject.toml
  fi
}

setup_networks() {   # TensorFlow has no wheels for every Python and machine
  if cmp -s "$networks_lock" ".venv/$networks_lock"; then return; fi
  say "installing $networks_lock into .venv (TensorFlow is 600 MB; takes a minute)"
  if install_locked "$networks_lock"
  then cp "$networks_lock" ".venv/$networks_lock"
  else say "going on without TensorFlow: tests of networks will be skipped"
  fi
}

setup_java() {  # Spark's scripts read spark-env.sh: .venv/bin/minia then works without JAVA_HOME
  local on_path spark_env
  spark_env=$(.venv/bin/python -c 'import pyspark; print(pyspark.__path__[0])')/conf/spark-env.sh
  on_path=$(java_facts "$(command -v java || true)")
  if (( ${on_path%% *} + 0 >= min_java )); then
    rm -f "$spark_env"
  else
    say "Spark will use the Java in $(find_java)"
    mkdir -p "${spark_env%/*}"
    printf '%s\n' "export JAVA_HOME=\"\${JAVA_HOME:-$(find_java)}\"" >"$spark_env"
  fi
}

archive_recipe() { cat "$lock" minia_spark/engine/archive.py; "$JAVA_HOME/bin/java" -version 2>&1; }

setup_archive() {  # Spark's Java classes as they are in memory: `minia` starts in half the time
  local stamp=.venv/share/minia/spark.recipe
  if cmp -s "$stamp" <(archive_recipe); then return; fi
  say "an archive of Spark's Java classes (200 MB; takes a minute)"
  mkdir -p "${stamp%/*}"
  .venv/bin/python -m minia_spark.engine.archive || true   # it says why; minia works without
  archive_recipe >"$stamp"
}

setup_native() { make --no-print-directory -s -C native -j"$(getconf _NPROCESSORS_ONLN)"; }

setup() {
  setup_but_archive
  alone setup_archive
}

setup_but_archive() {
  need python java compiler
  alone setup_python
  alone setup_java
  JAVA_HOME=$(find_java)
  export JAVA_HOME
  # .venv brings its own Spark; one of the user's, or a foreign Python path, would be mixed into it
  unset SPARK_HOME SPARK_CONF_DIR PYTHONPATH PYTHONHOME PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON
  alone_by native/Makefile setup_native
}

# ---------------------------------------------------------------- verbs

demo() {
  local default=(--warehouse "$root/demo/warehouse")
  case " $* " in *" --warehouse "* | *" --warehouse="*) default=() ;; esac
  setup
  say "demo"
  cd "$caller"   # a relative DIR is the caller's
  exec "$root/.venv/bin/minia" demo ${default[@]+"${default[@]}"} "$@"
}

run_lint() {
  say "ruff"
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  say "mypy"
  .venv/bin/mypy
  say "import rules"
  .venv/bin/lint-imports --no-logo
}

lint() {
  need python
  alone setup_python
  run_lint
}

setup_browser() {  # pages are looked at in one; Ubuntu has no package of it
  if have_browser; then return; fi
  ( need browser ) || say "going on without a browser: tests of pages will be skipped"
}

run_native_tests() { alone_by native/Makefile setup_native && make --no-print-directory -C native test; }

finish() {  # finish JOB NAME LOG: waits for a job in the background; shows what it said if it failed
  wait "$1" || { cat "$3"; die "failed: $2" "see above, or $3"; }
}

run_tests() {
  need python java compiler
  # meanwhile: pip waits for the network and the disk, the others keep the processors busy
  mkdir -p build
  run_native_tests >build/native-tests.log 2>&1 &
  local native=$!
  alone setup_python
  setup_browser
  alone_by "$networks_lock" setup_networks &
  local networks=$!
  run_lint >build/lint.log 2>&1 &
  local lint=$!
  setup_but_archive
  alone setup_archive &   # what starts Spark before it is there starts without
  local archive=$!
  wait "$networks"
  finish "$native" "native tests" build/native-tests.log
  tail -n 5 build/native-tests.log
  finish "$lint" "lint" build/lint.log
  cat build/lint.log
  say "pytest"
  # two at a time, a file each: every process has a Spark of its own
  local failed=0
  .venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@" || failed=$?
  wait "$archive"
  return "$failed"
}

web() {  # in build/: the package must not hold what npm installs
  local made=build/web source=minia_spark/explorer/web
  command -v node >/dev/null && command -v npm >/dev/null || die "missing: Node.js with npm" \
    "install it (Debian, Ubuntu: apt-get install -y nodejs npm), then run this again"
  rm -rf "$made"
  mkdir -p "$made/out"
  cp -R "$source/package.json" "$source/package-lock.json" "$source/build.mjs" "$source/src" "$made"
  say "npm ci"
  # no scripts of packages are run: esbuild's program is a package of its own
  ( cd "$made" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null &&
      node build.mjs out )
  cp "$made/out/map.js" "$made/out/gallery.js" "$made/out/map.js.LICENSES.txt" "${1:-$source}"
  say "done: ${1:-$source}/map.js and gallery.js"
}

bench() {
  setup
  exec .venv/bin/python -m tests.benchmarks "$@"
}

relock() {  # one version of a package for all Pythons and machines; hashes, and no addresses
  need python
  alone setup_python
  local compile=(.venv/bin/uv pip compile --quiet --universal --python-version "3.$min_python"
                 --fork-strategy fewest --generate-hashes --no-header --no-annotate
                 --no-emit-index-url --no-emit-find-links --no-config "$@" pyproject.toml)
  say "requirements.lock: what minia needs"
  "${compile[@]}" --output-file requirements.lock >/dev/null
  say "$lock: that, and what test, lint and bench need"
  "${compile[@]}" --extra bench --extra dev --constraint requirements.lock --output-file "$lock" \
    >/dev/null
  say "$networks_lock: what minia needs, and TensorFlow"
  "${compile[@]}" --extra networks --constraint "$lock" --output-file "$networks_lock" >/dev/null
}

# ---------------------------------------------------------------- dist/

repeatable() { export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}; }   # 2026-01-01

project_version() { sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml; }

packer() {  # prints a Python with the locked setuptools: .venv's, or one of its own
  local python=build/packer/bin/python
  if venv_works && cmp -s "$lock" ".venv/$lock"; then echo .venv/bin/python; return; fi
  if ! cmp -s "$lock" "build/packer/$lock"; then
    rm -rf build/packer
    "$(find_python)" -m venv build/packer
    awk '/^[a-z]/ { wanted = /^setuptools==/ } wanted' "$lock" >build/packer/setuptools.lock
    "$python" -m pip --disable-pip-version-check install -qq --require-hashes --only-binary :all: \
      -r build/packer/setuptools.lock
    cp "$lock" build/packer
  fi
  echo "$python"
}

is_static() { [[ $(uname -s) == Linux ]] && ! ldd "$1" >/dev/null 2>&1; }

platform_tag() {  # prints where pip may install the program: a static one, on any Linux
  if is_static native/build/smh; then
    echo "manylinux_2_17_$(uname -m)"
  else
    "$(packer)" -c 'import sysconfig, re; print(re.sub("[-.]", "_", sysconfig.get_platform()))'
  fi
}

make_wheel() {  # make_wheel FOLDER [PIP OPTIONS]: into FOLDER, from build/source
  local folder=$1
  shift
  rm -rf "$folder"
  "$(packer)" -m pip --disable-pip-version-check wheel -qq --no-deps --no-build-isolation \
    --wheel-dir "$folder" "$@" build/source
}

pack_code() {  # the wheel with smh for pip, and one without as .zip, as --py-files wants it
  setup_native
  if ! is_static native/build/smh; then
    say "warning: this system has no static C library; smh runs only where it is as new as here"
  fi
  mkdir -p dist
  # from a copy: setuptools would put modules deleted long ago into the wheel from its own leftovers
  rm -rf build/source
  mkdir -p build/source
  cp -R pyproject.toml README.md LICENSE minia_spark build/source
  if [[ ${1:-} == --zip ]]; then
    make_wheel build/zip
    rm -f dist/minia_spark-*.zip
    cp build/zip/*.whl "dist/minia_spark-$(project_version).zip"
  fi
  cp native/build/smh build/source/minia_spark/smh/smh
  make_wheel build/wheel "--config-settings=--build-option=--plat-name=$(platform_tag)"
  rm -f dist/minia_spark-*.whl
  cp build/wheel/*.whl dist
}

wheel() {
  need python compiler
  repeatable
  alone pack_code
  say "done: $(echo dist/*.whl)"
}

environment_launcher() {  # bin/python of the packed environment: finds the node's own Python
  cat <<TEXT
#!/bin/sh
# The packages beside this file under the node's own $python_name, which they were built for.
# MINIA_PYTHON names it where it is not on PATH.
root=\$(cd -P -- "\${0%/*}/.." && pwd) || exit 1
for python in "\${MINIA_PYTHON:-}" $python_name /usr/bin/$python_name /usr/local/bin/$python_name; do
  if command -v "\$python" >/dev/null 2>&1; then
    PYTHONPATH="\$root/lib/$python_name/site-packages\${PYTHONPATH:+:\$PYTHONPATH}"
    PYTHONNOUSERSITE=1
    export PYTHONPATH PYTHONNOUSERSITE
    exec "\$python" "\$@"
  fi
done
echo "\$0: this node has no $python_name; install it or set MINIA_PYTHON to its path" >&2
exit 127
TEXT
}

# Not for a cluster: Spark, which it has, and scikit-image with what only that needs (`minia demo`)
readonly not_packed='pyspark|py4j|scikit-image|imageio|lazy-loader|networkx|tifffile'
packed_lock=requirements.lock

make_environment() {  # build/environment: the lock without what is not packed
  local place=build/environment packages base
  packages=$place/lib/$python_name/site-packages
  rm -rf "$place"
  mkdir -p "$place/bin"
  awk -v names="^($not_packed)==" '/^[a-z]/ { skip = $0 ~ names } !skip' "$packed_lock" \
    >build/environment.lock
  pip install -qq --require-hashes --only-binary :all: --no-deps --no-compile \
    --target "$packages" -r build/environment.lock
  environment_launcher >"$place/bin/python"
  chmod +x "$place/bin/python"
  # what no run reads; numpy.testing and astropy import from their own tests, so those stay
  rm -rf "${packages:?}/bin" "$packages/pyarrow/include" "$packages/pyarrow/src"
  find "$packages" -type d -name tests -not -path "*/numpy/*" -not -path "*/astropy/tests" \
    -prune -exec rm -rf {} +
  say "checking that the environment works alone"
  base=$(.venv/bin/python -c 'import sys; print(sys._base_executable)')
  env -i PATH=/usr/bin:/bin MINIA_PYTHON="$base" \
    "$place/bin/python" -B -c 'import astropy.io.fits, astropy.wcs, cv2, datasketch, jinja2
import numpy.testing, pandas, PIL.Image, pyarrow.parquet, pydantic, scipy.stats
import tqdm, yaml'
}

environment_recipe() { echo "$python_name"; cat "$packed_lock" build.sh; }

pack_environment() {
  local stamp=build/environment.stamp
  if [[ -f dist/environment.tar.gz ]] && cmp -s "$stamp" <(environment_recipe); then
    say "dist/environment.tar.gz is up to date"
    return
  fi
  say "environment.tar.gz: the packages of $packed_lock for $python_name"
  make_environment
  # sorted, without times and owners: the same lock gives the same archive
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    -C build/environment -cf - . | gzip -n >dist/environment.tar.gz.part
  mv dist/environment.tar.gz.part dist/environment.tar.gz
  environment_recipe >"$stamp"
}

package() {
  case $* in
    "") ;;
    --networks) packed_lock=$networks_lock ;;
    *) echo "build.sh: package takes --networks, not '$*'" >&2; exit 2 ;;
  esac
  need python compiler
  alone setup_python
  repeatable
  python_name=$(.venv/bin/python -c 'import sys; print("python3.%d" % sys.version_info[1])')
  version=$(project_version)
  say "minia_spark, with smh as a wheel and without as a .zip"
  alone pack_code --zip
  cp native/build/smh dist/smh
  pack_environment
  rm -rf dist/jobs dist/conf
  mkdir dist/jobs
  cp jobs/*.py dist/jobs
  cp -R conf dist/conf
  rm -r dist/conf/container   # it is built in a checkout
  cat >>dist/conf/spark-defaults.conf <<TEXT

# The files beside, made by ./build.sh package; spark-submit is started in their folder.
spark.submit.pyFiles                          minia_spark-$version.zip
spark.archives                                environment.tar.gz#environment
spark.files                                   smh
spark.pyspark.python                          ./environment/bin/python
TEXT
  sed "s/@VERSION@/$version/g; s/@PYTHON@/$python_name/g" jobs/README.md >dist/README.md
  say "done: dist/README.md has the spark-submit lines"
  du -sh dist/* | sed 's/^/   /'
}

# ---------------------------------------------------------------- the image

container() {
  local tool name=minia-spark base=()
  while (( $# )); do
    case $1 in
      --base | --tag) [[ ${2:-} ]] || { echo "build.sh: $1 needs a name" >&2; exit 2; } ;;
      *) echo "build.sh: container takes --base IMAGE and --tag NAME, not '$1'" >&2; exit 2 ;;
    esac
    case $1 in
      --base) base=(--build-arg "BASE=$2") ;;
      --tag) name=$2 ;;
    esac
    shift 2
  done
  tool=$(command -v buildah || command -v podman) || die "missing: buildah or podman" \
    "install one of them (Debian, Ubuntu: apt-get install -y buildah), then run this again"
  if [[ ${name##*/} != *:* ]]; then name+=:$(project_version); fi
  say "$name, by ${tool##*/} (fetches 600 MB; takes minutes)"
  "$tool" build --layers ${base[@]+"${base[@]}"} --tag "$name" \
    --file conf/container/Containerfile --ignorefile conf/container/Containerfile.dockerignore .
  say "done: $name; jobs/README.md says how to run it"
}

# ---------------------------------------------------------------- start

verb=${1:-help}
if (( $# )); then shift; fi
case $verb in
  demo) demo "$@" ;;
  test) run_tests "$@" ;;
  bench) bench "$@" ;;
  lock) relock "$@" ;;
  container) container "$@" ;;
  web) web "$@" ;;
  package) package "$@" ;;
  native | wheel | lint | setup | help | -h | --help)
    if (( $# )); then echo "build.sh: $verb takes no arguments" >&2; exit 2; fi
    case $verb in
      native) need compiler; alone setup_native ;;
      wheel) wheel ;;
      lint) lint ;;
      setup) setup; alone setup_networks ;;
      *) usage ;;
    esac ;;
  *) echo "build.sh: no verb '$verb'" >&2; usage >&2; exit 2 ;;
esac
