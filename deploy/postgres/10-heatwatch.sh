#!/bin/sh
# Gives heatwatch a database of its own, with a user who may do nothing else. PostgreSQL's image runs it once, on an
# empty volume. Run again, it only sets the password anew:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/10-heatwatch.sh
# The password stands in no process list: psql reads it from the file.
set -eu
psql --username "${POSTGRES_USER:-postgres}" --dbname postgres --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
\set password `cat "${HEATWATCH_PASSWORD_FILE:-/run/secrets/postgres_password}"`
SET log_min_duration_statement = -1;
SET log_statement = 'none';
SELECT 'CREATE ROLE heatwatch LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'heatwatch') \gexec
ALTER ROLE heatwatch PASSWORD :'password';
SELECT 'CREATE DATABASE heatwatch OWNER heatwatch ENCODING ''UTF8'' TEMPLATE template0'
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'heatwatch') \gexec
REVOKE ALL ON DATABASE heatwatch FROM PUBLIC;
SQL
