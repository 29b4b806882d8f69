"""Pomona in Airflow."""
