"""The site's `config.yaml`, parsed once into frozen types; one error lists every fault with its line and an example."""

from runbook.config.form import Mode, Settings
from runbook.config.jobs import Job
from runbook.config.secrets import Secrets, mask_url
from runbook.config.site import Config, derived_stream, environment, parse

__all__ = ["Config", "Job", "Mode", "Secrets", "Settings", "derived_stream", "environment", "mask_url", "parse"]
