"""Airflow: what is new in the inbox, every night, on the cluster of connection `spark_default`.

Copy into the folder of DAGs and adapt the paths. Needs apache-airflow-providers-apache-spark, and
on the worker, where the driver runs (client mode), what `./build.sh package` made in
/opt/minia/dist, with `environment.tar.gz` unpacked into /opt/minia/dist/environment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

DIST = "/opt/minia/dist"
SURVEY = "/srv/survey"  # mounted on every node under this name

with DAG(
    dag_id="minia",
    description="New images into the warehouse",
    schedule="15 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # one call takes all nights that wait
    max_active_runs=1,
    tags=["minia"],
):
    SparkSubmitOperator(
        task_id="reprocess",
        name="minia reprocess",
        application=f"{DIST}/jobs/reprocess.py",
        application_args=[
            *("--inbox", f"{SURVEY}/inbox", "--warehouse", f"{SURVEY}/warehouse"),
            *("--config", "/etc/minia.yaml", "--settle", "600"),
            *("--log-json", "/var/log/minia/events.jsonl"),
        ],
        properties_file="/opt/minia/conf/spark-defaults.conf",
        py_files=f"{DIST}/minia_spark-0.1.0.zip",
        files=f"{DIST}/smh",
        archives=f"{DIST}/environment.tar.gz#environment",
        conf={
            "spark.pyspark.python": "./environment/bin/python",
            "spark.pyspark.driver.python": f"{DIST}/environment/bin/python",
        },
        retries=2,  # a retry goes on where the run broke off
        retry_delay=timedelta(minutes=10),
    )
