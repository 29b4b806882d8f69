"""Stages on AWS: clusters of EMR on EC2 and applications of EMR Serverless."""
