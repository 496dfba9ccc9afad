#!/bin/bash
# Starts what the arguments name: `minia ...`, `spark-submit ...` or any other program as it is;
# `driver ...` and `executor` are what Spark on Kubernetes asks for.
set -euo pipefail

# Somebody may run the image under a number that has no name (OpenShift does); Hadoop needs one.
if ! getent passwd "$(id -u)" >/dev/null; then
  names=$(mktemp "${TMPDIR:-/tmp}/passwd.XXXXXX")
  cp /etc/passwd "$names"
  echo "minia:x:$(id -u):$(id -g)::${HOME:-/tmp}:/bin/false" >>"$names"
  export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=$names NSS_WRAPPER_GROUP=/etc/group
fi

java_options() {  # prints the options that the driver numbered SPARK_JAVA_OPT_0, 1, ...; 0 between
  local name
  for name in $(compgen -e | grep -x 'SPARK_JAVA_OPT_[0-9]*' | sort -t_ -k4 -n); do
    printf '%s\0' "${!name}"
  done
}

case ${1:-} in
  driver)
    shift
    set -- "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" "${@}"
    ;;
  executor)
    mapfile -d '' options < <(java_options)
    classes=${HADOOP_CONF_DIR:+$HADOOP_CONF_DIR:}$SPARK_HOME/conf:$SPARK_HOME/jars/*
    set -- "$JAVA_HOME/bin/java" ${options[@]+"${options[@]}"} \
      "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
      -cp "${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$classes${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" \
      --cores "$SPARK_EXECUTOR_CORES" --app-id "$SPARK_APPLICATION_ID" \
      --hostname "$SPARK_EXECUTOR_POD_IP" --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
      --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
esac
# tini reaps what Python workers leave behind and passes SIGTERM on
exec tini -s -- "$@"
