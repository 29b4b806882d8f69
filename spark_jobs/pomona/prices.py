"""What an hour costs on AWS, in US dollars: one region, on demand, one date; every estimate says so.

Region us-east-1: EC2 on demand (Linux), the fee that EMR adds for the same instance, and EMR Serverless on x86_64, as public copies of
AWS's price pages showed them on the date below. AWS may have changed them since; other regions cost up to some 70 % more.
"""

from __future__ import annotations

from typing import NamedTuple

AS_OF = "2026-11-20"
REGION = "us-east-1"


class InstanceHour(NamedTuple):
    """An hour of one instance: EC2's price on demand and EMR's fee."""

    ec2: float
    fee: float

    @property
    def usd(self) -> float:
        return self.ec2 + self.fee


# Instances with Graviton processors (m6g, m7g, …) are not here: the packed environment is for x86_64.
INSTANCES = {
    "m5.xlarge": InstanceHour(0.192, 0.048),
    "m5.2xlarge": InstanceHour(0.384, 0.096),
    "m5.4xlarge": InstanceHour(0.768, 0.192),
    "m6i.xlarge": InstanceHour(0.192, 0.048),
    "m6i.2xlarge": InstanceHour(0.384, 0.096),
    "m6i.4xlarge": InstanceHour(0.768, 0.192),
    "c5.xlarge": InstanceHour(0.17, 0.043),
    "c5.2xlarge": InstanceHour(0.34, 0.085),
    "c5.4xlarge": InstanceHour(0.68, 0.17),
    "c6i.xlarge": InstanceHour(0.17, 0.043),
    "c6i.2xlarge": InstanceHour(0.34, 0.085),
    "c6i.4xlarge": InstanceHour(0.68, 0.17),
    "r5.xlarge": InstanceHour(0.252, 0.063),
    "r5.2xlarge": InstanceHour(0.504, 0.126),
    "r5.4xlarge": InstanceHour(1.008, 0.252),
    "r6i.xlarge": InstanceHour(0.252, 0.063),
    "r6i.2xlarge": InstanceHour(0.504, 0.126),
    "r6i.4xlarge": InstanceHour(1.008, 0.252),
}

VCPU_HOUR = 0.052624
MEMORY_GB_HOUR = 0.0057785
# Of what is over the 20 GB that each worker has free.
STORAGE_GB_HOUR = 0.000111
