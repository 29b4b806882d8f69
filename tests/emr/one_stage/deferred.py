"""A DAG of Airflow that waits in the triggerer; a DAG file is read by a process of its own, whose deployment this is."""

import os

os.environ["POMONA_DEFERRABLE"] = "true"

from graph import one_stage

dag = one_stage("deferred")
