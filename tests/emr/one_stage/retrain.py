"""A DAG of Airflow that waits in the task, as is the default."""

from graph import one_stage

dag = one_stage("retrain")
