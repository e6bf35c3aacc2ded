#!/bin/sh
# Run once by InfluxDB's image, when its volume is new: the probe may write to its bucket and Grafana may read it, each by a name and
# password of its own, so that the administrator's token leaves this container for nobody. A token cannot be chosen beforehand; a
# password of the 1.x interface can, and that interface also answers InfluxQL.
set -eu

secret() { cat "/run/secrets/$1"; }

bucket=$DOCKER_INFLUXDB_INIT_BUCKET_ID
influx v1 dbrp create --db timesync --rp autogen --default --bucket-id "$bucket"
# Reading is needed to write: the name of the database is looked up with the writer's own rights.
influx v1 auth create --username probe --password "$(secret probe.password)" --write-bucket "$bucket" --read-bucket "$bucket"
influx v1 auth create --username grafana --password "$(secret grafana.password)" --read-bucket "$bucket"
