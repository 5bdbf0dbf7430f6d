#!/usr/bin/env bash
# Run once by the PostgreSQL image, on an empty volume: the plain role that Bonecraft connects as, owning its database.
# What a mistake could do stays in this database.
set -euo pipefail
password=$(cat /run/secrets/database_password)
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$password" --username=postgres --dbname=postgres <<'SQL'
CREATE ROLE bonecraft LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE bonecraft OWNER bonecraft;
SQL
