"""All targets by name."""

from tests.fuzz import archives, texts, trees

TARGETS = {target.name: target for target in (*archives.TARGETS, *texts.TARGETS, *trees.TARGETS)}
