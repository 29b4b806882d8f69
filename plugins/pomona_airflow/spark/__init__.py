"""Stages of this machine's spark-submit: how Spark is started, and the engines that do."""
