#!/bin/sh
# Run once by the postgres image on an empty volume: two owners that cannot read each other's data.
set -eu

# Passwords go in as psql variables, so that their quoting is psql's business.
psql --username postgres --dbname postgres --set ON_ERROR_STOP=1 \
	--set holdfast="$DATABASE_PASSWORD" --set temporal="$TEMPORAL_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE holdfast LOGIN PASSWORD :'holdfast';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE holdfast OWNER holdfast;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE holdfast, temporal, temporal_visibility FROM PUBLIC;
SQL
