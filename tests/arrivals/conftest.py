from tests import own_airflow

own_airflow.use()
