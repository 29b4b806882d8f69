"""A DAG of Airflow on EMR Serverless; a DAG file is read by a process of its own, whose deployment this is."""

import os

os.environ["POMONA_ENGINE"] = "emr-serverless"

from graph import one_stage

dag = one_stage("serverless")
