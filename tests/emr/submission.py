"""A spark-submit as EMR is given it, and what of it is different on this machine: the master, and where the files lie."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What YARN and Serverless make of settings, and nobody else: variables of driver and executors.
_DRIVER_ENV = ("spark.yarn.appMasterEnv.", "spark.emr-serverless.driverEnv.")
_EXECUTOR_ENV = "spark.executorEnv."
# Settings of the cluster manager that is not here.
_OF_THE_MANAGER = ("spark.yarn.", "spark.emr-serverless.", "spark.dynamicAllocation.", "spark.submit.deployMode", "spark.archives")
_VALUED = ("--master", "--deploy-mode", "--name", "--conf", "--archives", "--py-files", "--jars", "--driver-memory", "--executor-memory")


class BadSubmission(ValueError):
    """spark-submit would not take these words."""


@dataclass
class Submission:
    """What a step's arguments or a job run's driver ask for; URIs as they were given."""

    entry: str
    words: list[str]
    name: str = ""
    conf: dict[str, str] = field(default_factory=dict)
    archives: list[str] = field(default_factory=list)
    py_files: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_step(cls, args: Sequence[str]) -> Submission:
        """What `command-runner.jar` is to run.

        Raises
        ------
        BadSubmission
            When it is no spark-submit to YARN in cluster mode, or has an option that is not known.
        """
        if not args or args[0] != "spark-submit":
            raise BadSubmission(f"{list(args)[:1]} is no spark-submit")
        options, rest = _options(args[1:])
        found = cls._read(options, rest[0] if rest else "", list(rest[1:]))
        if (found.options.get("--master"), found.options.get("--deploy-mode")) != ("yarn", "cluster"):
            raise BadSubmission(f"a step goes to yarn in cluster mode, not {found.options}")
        return found

    @classmethod
    def of_job_run(cls, name: str, driver: Mapping[str, Any]) -> Submission:
        """What a Serverless job run is to run: `sparkSubmitParameters` are words as in a shell."""
        submit = driver["sparkSubmit"]
        options, rest = _options(shlex.split(submit.get("sparkSubmitParameters", "")))
        if rest:
            raise BadSubmission(f"sparkSubmitParameters hold {rest[0]!r}, which is no option")
        found = cls._read(options, submit["entryPoint"], list(submit.get("entryPointArguments", [])))
        found.name = name
        return found

    @classmethod
    def _read(cls, options: Sequence[tuple[str, str]], entry: str, words: list[str]) -> Submission:
        if not entry.endswith(".py"):
            raise BadSubmission(f"the application {entry!r} is no Python file")
        found = cls(entry, words)
        for option, value in options:
            if option == "--conf":
                key, sign, text = value.partition("=")
                if not sign:
                    raise BadSubmission(f"--conf {value} is not like name=value")
                found.conf[key] = text
            elif option in ("--archives", "--py-files"):
                (found.archives if option == "--archives" else found.py_files).extend(value.split(","))
            else:
                found.options[option] = value
        found.name = found.options.get("--name", "")
        found.archives += [one for one in found.conf.get("spark.archives", "").split(",") if one]
        return found

    @property
    def driver_environment(self) -> dict[str, str]:
        return {name.removeprefix(start): value for name, value in self.conf.items() for start in _DRIVER_ENV if name.startswith(start)}

    @property
    def executor_environment(self) -> dict[str, str]:
        return {name.removeprefix(_EXECUTOR_ENV): value for name, value in self.conf.items() if name.startswith(_EXECUTOR_ENV)}

    def command(self, submit: str, master: str, files: Mapping[str, str], more: Mapping[str, str]) -> list[str]:
        """The spark-submit for this machine: this master, these files for the URIs, and `more` settings over the given ones."""
        conf = {name: value for name, value in self.conf.items() if not name.startswith(_OF_THE_MANAGER)} | dict(more)
        settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        py_files = ["--py-files", ",".join(files[uri] for uri in self.py_files)] if self.py_files else []
        memory = [word for name in ("--driver-memory", "--executor-memory") if name in self.options for word in (name, self.options[name])]
        return [submit, "--master", master, "--name", self.name, *memory, *settings, *py_files, files[self.entry], *self.words]


def _options(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The options with their values, and what stands behind them."""
    found, left = [], list(words)
    while left and left[0].startswith("-"):
        if left[0] not in _VALUED or len(left) < 2:
            raise BadSubmission(f"spark-submit does not know {left[0]}")
        found.append((left[0], left[1]))
        left = left[2:]
    return found, left
