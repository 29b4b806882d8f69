"""What the services find when they start: databases and their users, Airflow's tables, buckets. Made where missing, kept where there."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.parse import urlsplit

import boto3
import psycopg2
from psycopg2 import sql

USERS = {"airflow": "AIRFLOW_DB_PASSWORD", "mlflow": "MLFLOW_DB_PASSWORD"}


def make_databases() -> None:
    """A database for each user, owned by it; the password is set anew each time, so that a changed `.env` takes effect."""
    try:
        connection = psycopg2.connect(host="postgres", user="postgres", password=os.environ["POSTGRES_PASSWORD"], dbname="postgres")
    except psycopg2.OperationalError as error:
        raise SystemExit(f"Postgres refuses POSTGRES_PASSWORD, is its volume from another .env? {str(error).strip()}") from None
    connection.autocommit = True
    with connection.cursor() as cursor:
        for user, variable in USERS.items():
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (user,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            words = sql.SQL(f"{verb} ROLE {{}} LOGIN PASSWORD {{}}")
            cursor.execute(words.format(sql.Identifier(user), sql.Literal(os.environ[variable])))
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (user,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(user), sql.Identifier(user)))
    connection.close()
    print("databases: " + ", ".join(USERS), flush=True)


def make_buckets(buckets: list[str]) -> None:
    """The buckets; those that are there are left as they are."""
    s3 = boto3.client("s3", endpoint_url=os.environ["POMONA_S3_ENDPOINT"])
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for bucket in set(buckets) - there:
        s3.create_bucket(Bucket=bucket)
    print("buckets: " + ", ".join(buckets), flush=True)


def main() -> int:
    make_databases()
    make_buckets([urlsplit(os.environ[name]).netloc for name in ("POMONA_LANDING", "POMONA_LAKE")] + ["mlflow"])
    print("Airflow's tables", flush=True)
    return subprocess.run(["airflow", "db", "migrate"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
