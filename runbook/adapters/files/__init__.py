"""The only door to ruamel.yaml: files of the site, read with their lines, and edited with their comments."""

from runbook.adapters.files.draft import Draft, replace_file
from runbook.adapters.files.reading import parse_yaml, read_text, read_yaml, shipped_calendar

__all__ = ["Draft", "parse_yaml", "read_text", "read_yaml", "replace_file", "shipped_calendar"]
