"""The one Spark session of a process, with the settings that the pipeline relies on."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shlex
import socketserver
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from minia_spark.base.errors import MiniaError
from minia_spark.engine.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

__all__ = ["CDS_QUIET", "archive_options", "default_archive", "default_partitions", "is_local"]
__all__ += ["is_running", "open_session", "require_connector", "silence_java"]

CDS_QUIET = "-Xlog:cds*=off"
"""Else every class that an archive cannot keep is told, on the standard output."""

_LOGGING = Path(__file__).with_name("log4j2.properties")

_LINE_SECONDS = 4
_NOISE = (b"Using incubator modules", b"JNI_OnLoad: dlopen(lib")
"""Of Java's vector module, and of a BLAS that is not there: MLlib uses Java's then."""

_silent = threading.Event()

_CONNECTORS = {
    "s3": "hadoop-aws-{hadoop}.jar and the AWS SDK's bundle that it asks for (and S3A's class, "
    "org.apache.hadoop.fs.s3a.S3AFileSystem, in spark.conf.spark.hadoop.fs.s3.impl)",
    "gs": "Google's gcs-connector for Hadoop 3",
    "abfs": "hadoop-azure-{hadoop}.jar",
    "abfss": "hadoop-azure-{hadoop}.jar",
}
"""The jars by which Spark writes to object stores."""

# One thread a task: Spark runs a task a core, and libraries that start their own threads on every
# core only get in each other's way.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)

# glibc gives large blocks back to the system at every free and takes them anew, page by page: half
# of SIFT's time on a galaxy (9,800 page faults an image). Workers keep up to 512 MiB for the next.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc's upper limit
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
}


# Spark's planner and scheduler run thousands of methods a few thousand times in a short run: Java's
# thorough compiler takes more from the cores than it ever gives back, a quarter of a night of some
# ten images. Only loops over numbers need it, which are MLlib's.
_QUICK = ("-XX:TieredStopAtLevel=1",)
_SERVICES = r"^(yarn|mapreduce\.(jobhistory|shuffle)|hadoop\.(http|registry|zk))\."
# Loops are counted apart and reach it as soon as ever (the defaults are a tenth of these).
_THOROUGH = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
)


def default_archive() -> Path:
    """Return where the archive of this Python environment is kept."""
    return Path(sys.prefix) / "share" / "minia" / "spark.jsa"


def archive_options(place: Path) -> str:
    """Return Java's options for an archive; empty where there is none."""
    if not place.is_file():
        return ""
    return f"{shlex.quote(f'-XX:SharedArchiveFile={place}')} {CDS_QUIET}"


def open_session(
    settings: SparkSettings,
    app_name: str = "minia",
    *,
    mllib: bool = False,
    say: Callable[[str], None] | None = None,
    archive: Path | None = default_archive(),  # noqa: B008 - a constant of the process
) -> SparkSession:
    """Start Spark, or take the session that spark-submit started.

    Under spark-submit every submitted setting wins over ours, and the master is not touched.

    Parameters
    ----------
    settings : SparkSettings
    app_name : str
        What Spark's own pages call the run.
    mllib : bool
        MLlib has work: in local mode, Java compiles its loops well, and starts more slowly.
    say : callable or None
        Is told every few seconds that Spark still starts.
    archive : Path or None
        Of Java's classes (:mod:`.archive`), for local mode; used where it exists.

    Raises
    ------
    MiniaError
        Spark does not start: Java is missing or too old, the master cannot be reached, the user has
        no name, or there is no room for temporary files.
    """
    from pyspark import SparkConf  # noqa: PLC0415 - a run with nothing to do needs no Spark
    from pyspark.sql import SparkSession  # noqa: PLC0415

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    conf = SparkConf(loadDefaults=submitted)
    master = conf.get("spark.master", settings.master) or settings.master
    wanted = _wanted(settings, master, archive, mllib=mllib)
    if submitted:  # the driver's process already runs
        for key in ("spark.driver.memory", "spark.driver.extraJavaOptions"):
            wanted.pop(key, None)
    for key, value in wanted.items():
        conf.setIfMissing(key, value)
    conf.setAppName(app_name)
    try:
        with _patience(say), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of the launcher's own pipes
            if not submitted:
                _start_java(conf)
            spark = SparkSession.builder.config(conf=conf).getOrCreate()
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MiniaError(f"Spark does not start ({first}); {_likely_cause(conf)}") from error
    atexit.register(_stop, spark)
    if is_local(spark):
        _forget_services(spark)
        threading.Thread(target=_warm, args=(spark,), name="first-worker", daemon=True).start()
    return spark


def _forget_services(spark: SparkSession) -> None:
    """Drop Hadoop's settings of services that one process has not: more than half of all.

    Spark copies, packs and unpacks them all for every file that a task reads or writes.
    """
    java: Any = spark.sparkContext._jvm
    spark._jsparkSession.sharedState()  # it reads them all anew
    hadoop: Any = spark.sparkContext._jsc.hadoopConfiguration()
    java.org.apache.hadoop.mapred.JobConf()  # adds the last of them
    keys = hadoop.getValByRegex(_SERVICES).keySet()
    for key in java.String.join(" ", keys).split():
        hadoop.unset(key)


def _warm(spark: SparkSession) -> None:
    """Start the first Python worker, seconds of imports, while the driver looks at its input."""
    with contextlib.suppress(Exception):  # whoever needs one starts it, and tells what is wrong
        spark.sparkContext.parallelize([0], 1).map(str).count()


def _likely_cause(conf: SparkConf) -> str:
    """Return why Spark most likely does not start, and what to do."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # as in containers; Java then has no user.name and no user.home
        return (
            f"user number {os.getuid()} has no name on this machine, and Spark needs one: add a "
            "line for it to /etc/passwd, or run as a user that is there"
        )
    try:
        scratch = os.environ.get("SPARK_LOCAL_DIRS") or conf.get(
            "spark.local.dir", tempfile.gettempdir()
        )
    except FileNotFoundError:
        return "no folder for temporary files can be written: set TMPDIR to one that can"
    assert scratch is not None
    if not any(_can_be_made(Path(folder.strip())) for folder in scratch.split(",")):
        return (
            f"Spark's scratch folder {scratch} cannot be written: set SPARK_LOCAL_DIRS, or TMPDIR, "
            "to one that can"
        )
    return (
        "it needs Java 17 or later on PATH or in JAVA_HOME (Debian and Ubuntu: apt-get install "
        f"default-jre-headless) and a reachable master (here: {conf.get('spark.master')})"
    )


def _can_be_made(folder: Path) -> bool:
    there = next(
        place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()
    )
    return os.access(there, os.W_OK | os.X_OK)


def _start_java(conf: SparkConf) -> None:
    """Start Spark's Java with its error output going through us; nothing where it runs already.

    What it says about itself and nobody can change is left out; everything else is passed on.
    """
    from pyspark import SparkContext  # noqa: PLC0415
    from pyspark.java_gateway import launch_gateway  # noqa: PLC0415

    if SparkContext._gateway is not None:
        return
    _silent.clear()
    reader, writer = os.pipe()
    threading.Thread(target=_pass_on, args=(reader,), name="java-stderr", daemon=True).start()
    try:
        gateway = launch_gateway(conf, {"stderr": writer})  # type: ignore[no-untyped-call]
    finally:
        os.close(writer)
    SparkContext._ensure_initialized(gateway=gateway, conf=conf)


def silence_java() -> None:
    """Pass on nothing more that Java says: it is being stopped, and tells of all that breaks.

    It may end before we do, which is no news then either.
    """
    _silent.set()
    warnings.filterwarnings("ignore", "Unable to cleanly shutdown Spark JVM", RuntimeWarning)
    # PySpark's server of accumulators prints that Java does not speak to it any more
    socketserver.BaseServer.handle_error = lambda *_: None  # type: ignore[method-assign]


def _pass_on(reader: int) -> None:
    """Copy lines to our own error output, without those that tell nobody anything."""
    with open(reader, "rb", buffering=0) as pipe:
        rest = b""
        while data := pipe.read(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if not (_silent.is_set() or any(noise in line for noise in _NOISE)):
                    with contextlib.suppress(OSError):
                        os.write(2, line + b"\n")


@contextlib.contextmanager
def _patience(say: Callable[[str], None] | None) -> Iterator[None]:
    """Say every few seconds that Spark still starts."""
    done = threading.Event()

    def tell() -> None:
        waited = 0
        while say is not None and not done.wait(_LINE_SECONDS):
            waited += _LINE_SECONDS
            say(f"Spark is starting ({waited} s)")

    teller = threading.Thread(target=tell, name="patience", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def require_connector(spark: SparkSession, location: str) -> None:
    """Raise MiniaError where Spark has no jar for the store that a warehouse is in.

    Parameters
    ----------
    spark : SparkSession
    location : str
        URI of the warehouse.
    """
    scheme = urlsplit(location).scheme
    if scheme not in _CONNECTORS:
        return
    java = spark.sparkContext._jvm
    assert java is not None
    hadoop = java.org.apache.hadoop
    try:
        hadoop.fs.FileSystem.getFileSystemClass(
            scheme, spark.sparkContext._jsc.hadoopConfiguration()
        )
    except Exception as error:
        jar = _CONNECTORS[scheme].format(hadoop=hadoop.util.VersionInfo.getVersion())
        raise MiniaError(
            f"Spark cannot write to {location} for want of a jar: name {jar} in "
            "spark.conf.spark.jars, or choose a mounted folder as the warehouse"
        ) from error


def is_local(spark: SparkSession) -> bool:
    """Tell whether all of Spark is one process, which tries no task twice."""
    master = spark.sparkContext.master or ""
    return master.startswith("local") and "cluster" not in master


def is_running(spark: SparkSession) -> bool:
    """Tell whether a session can still work: its Java may have died, or somebody stopped it."""
    try:
        return not spark.sparkContext._jsc.sc().isStopped()
    except Exception:  # there is nobody who could answer
        return False


def _stop(spark: SparkSession) -> None:
    """End the session with the process: executors left to themselves look for a lost driver.

    What PySpark has in this process ends with it; to be asked, its server of accumulators would
    first wait out a second.
    """
    with contextlib.suppress(Exception):  # it may be stopped, or its Java gone, already
        spark.sparkContext._jsc.stop()


def _wanted(
    settings: SparkSettings, master: str, archive: Path | None, *, mllib: bool
) -> dict[str, str]:
    java = [f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}", _temporary_folder()]
    conf = {
        "spark.master": master,
        "spark.driver.memory": settings.driver_memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",  # we print our own
        # What those pages would tell of jobs that ended; a night's are some hundreds.
        "spark.ui.retainedJobs": "10",
        "spark.ui.retainedStages": "10",
        "spark.ui.retainedTasks": "1000",
        "spark.sql.ui.retainedExecutions": "10",
        "spark.sql.execution.arrow.validateSchema.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        # Feature rows are large; a small batch keeps a Python worker's memory small.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(32 << 20),
        "spark.sql.parquet.compression.codec": "zstd",
        # Tables are published by the catalogue; markers of a single job would only mislead.
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    }
    conf |= {f"spark.executorEnv.{variable}": "1" for variable in _THREAD_VARIABLES}
    conf |= {f"spark.executorEnv.{name}": value for name, value in _MALLOC.items()}
    if master.startswith("local") and "cluster" not in master:
        # One process: shuffles of metadata need no 200 partitions, and nobody else is to connect.
        conf["spark.sql.shuffle.partitions"] = "16"
        conf["spark.driver.bindAddress"] = "127.0.0.1"
        conf["spark.driver.host"] = "127.0.0.1"
        conf["spark.python.daemon.module"] = "minia_spark.engine.daemon"
        # Simplified tracebacks, which only DataFrames have, would give RDDs a daemon of their own.
        conf["spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled"] = "false"
        # A row is an image with all that it holds: what Spark itself does to rows is soon done, and
        # a class generated, compiled and loaded for every query takes longer.
        conf["spark.sql.codegen.wholeStage"] = "false"
        conf["spark.sql.codegen.factoryMode"] = "NO_CODEGEN"
        java += [*(_THOROUGH if mllib else _QUICK), archive_options(archive) if archive else ""]
    conf.update(settings.conf)
    options = "spark.driver.extraJavaOptions"
    conf[options] = " ".join(filter(None, [*java, conf.get(options)]))
    return conf


def _temporary_folder() -> str:
    """Return the option by which Java, and Spark's scratch, use TMPDIR: Java knows /tmp only."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:  # told when Spark does not start
        return ""
    if folder == "/tmp":  # noqa: S108
        return ""
    return shlex.quote(f"-Djava.io.tmpdir={folder}")


def default_partitions(rows: int, parallelism: int, chosen: int | None) -> int:
    """Return how many partitions a per-image pass gets.

    Several a core, so that a slow image does not leave the others waiting; for large batches about
    1,024 images each, so that files do not become tiny.

    Parameters
    ----------
    rows : int
        Images in the pass.
    parallelism : int
        Cores that work at the same time.
    chosen : int or None
        ``spark.partitions``; wins when given.
    """
    if chosen is not None:
        return chosen
    return max(1, min(rows // 16, 4 * parallelism), rows // 1024)
