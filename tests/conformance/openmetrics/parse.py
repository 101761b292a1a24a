"""Reads OpenMetrics text on standard input, strictly, and prints its samples as JSON: [name, labels, value]."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = list(text_string_to_metric_families(sys.stdin.read()))
names = [family.name for family in families]
assert len(names) == len(set(names)), "a family is there twice"
assert all(family.documentation for family in families), "a family says nothing of itself"
samples = [[sample.name, sample.labels, sample.value] for family in families for sample in family.samples]
json.dump(samples, sys.stdout)
